//! Bulk beside snapshots over QUIC, where the path is narrow: bulk waits for room, it never takes a snapshot's.

use std::time::Duration;

use netcode::emulator::Conditions;
use netcode::endpoint::ClientEvent;

use crate::world::*;

/// One snapshot per tick; two of them fit into a datagram, three do not.
const SNAPSHOT_BYTES: usize = 450;
const TICK: Duration = Duration::from_micros(16_667);
const TICKS: u64 = 900;

/// What a session of [`TICKS`] comes to.
#[derive(Debug)]
struct Arrived {
    snapshots: u64,
    bulk: usize,
    /// Datagrams that the path had no room for.
    dropped: u64,
}

/// Sends a snapshot each tick and, if asked to, as much bulk as the endpoint takes, over a link of these conditions.
fn play(conditions: Conditions, with_bulk: bool) -> Arrived {
    let mut network = mixed_network();
    join_over_quic(&mut network, 1, 1, Conditions { rate: None, ..conditions });
    network.run_for(Duration::from_secs(2));
    let session = last_session(&network).expect("the client connects");
    network.hosts[0].events.clear();
    network.hosts[0].down.set_conditions(conditions);
    for tick in 0..TICKS {
        if with_bulk {
            // Refused while enough of it waits.
            let _ = network.server.send_bulk(network.now, session, vec![tick as u8; 60_000]);
        }
        network.server.send_unreliable(network.now, session, &[tick as u8; SNAPSHOT_BYTES], None).unwrap();
        network.server.flush(network.now);
        network.run_for(TICK);
    }
    network.run_for(Duration::from_secs(5));
    assert!(network.hosts[0].client.is_open(), "{conditions:?}");
    let host = &network.hosts[0];
    let count = |wanted: fn(&ClientEvent) -> bool| host.events.iter().filter(|event| wanted(event)).count();
    Arrived {
        snapshots: count(|event| matches!(event, ClientEvent::Unreliable { .. })) as u64,
        bulk: count(|event| matches!(event, ClientEvent::Bulk { .. })),
        dropped: host.down.stats().queue_full,
    }
}

#[test]
fn every_snapshot_arrives_while_bulk_fills_the_path() {
    // Snapshots alone need 32 kB/s. The first windows are smaller than what bulk would like to have on its way, and what
    // bulk has on its way makes the narrow paths slow: a lost guess of the round trip must not cost a snapshot either.
    let paths = [(20, None), (100, None), (150, None), (100, Some(200_000)), (20, Some(60_000)), (100, Some(60_000))];
    for (latency_ms, rate) in paths {
        let path = Conditions { rate, queue_bytes: 1 << 20, ..Conditions::latency_ms(latency_ms) };
        let arrived = play(path, true);
        assert_eq!((arrived.snapshots, arrived.dropped), (TICKS, 0), "{latency_ms} ms, {rate:?} B/s: {arrived:?}");
        assert!(arrived.bulk >= 5, "bulk takes what is left: {latency_ms} ms, {rate:?} B/s: {arrived:?}");
    }
}

#[test]
fn where_the_path_drops_datagrams_no_other_snapshot_is_missing() {
    let path = Conditions { rate: Some(60_000), queue_bytes: 6_000, ..Conditions::latency_ms(40) };
    let arrived = play(path, true);
    assert!(arrived.dropped > 10 && arrived.bulk >= 1, "{arrived:?}");
    assert!(TICKS - arrived.snapshots <= 2 * arrived.dropped, "the server's own buffer lost some: {arrived:?}");
    // It would be no proof if snapshots alone were too much for the path.
    let alone = play(path, false);
    assert_eq!((alone.snapshots, alone.dropped), (TICKS, 0), "{alone:?}");
}
