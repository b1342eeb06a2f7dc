//! What the channels promise, on bad networks and many seeds.

use std::time::Duration;

use netcode::emulator::Conditions;
use netcode::endpoint::{ClientEvent, SendError, ServerEvent, UNRELIABLE_BYTES_MAX};
use protocol::wire::PACKET_BYTES_MAX;

use crate::world::*;

#[test]
fn messages_arrive_once_and_in_order_both_ways_under_20_percent_loss() {
    for seed in 0..25u32 {
        let mut network = network();
        let conditions = Conditions { corrupt: 0.02, ..Conditions::rough(0.2) };
        join(&mut network, 1, seed, conditions);
        network.run_for(Duration::from_secs(6));
        let session = last_session(&network).unwrap_or_else(|| panic!("seed {seed} does not connect"));
        let text = |n: usize| vec![n as u8; 1 + n * 37 % 2_500];
        for n in 0..120 {
            network.server.send_message(network.now, session, &text(n)).unwrap();
            let now = network.now;
            network.hosts[0].client.send_message(now, &text(n)).unwrap();
            network.run_for(Duration::from_millis(80));
        }
        network.run_for(Duration::from_secs(10));
        let expected: Vec<_> = (0..120).map(text).collect();
        assert!(messages_to_client(&network.hosts[0].events) == expected, "seed {seed}: not what was sent");
        assert!(messages_to_server(&network.server_events) == expected, "seed {seed}: not what was sent");
        assert_eq!(network.server.stats(session).unwrap().reliable_queued, 0);
    }
}

#[test]
fn a_lost_segment_is_resent_as_soon_as_later_packets_are_acknowledged() {
    let (mut network, session) = connected(Conditions::latency_ms(100));
    for round in 0..4 {
        // Lost once or twice in a row: the timer alone would double its wait with each loss.
        network.hosts[0].down.set_conditions(Conditions { loss: 1.0, ..Conditions::PERFECT });
        network.server.send_message(network.now, session, b"gone").unwrap();
        network.run_for(Duration::from_millis(20));
        network.hosts[0].down.set_conditions(Conditions::latency_ms(100));
        let before = network.now;
        while messages_to_client(&network.hosts[0].events).len() <= round {
            network.server.send_unreliable(network.now, session, b"state", None).unwrap();
            network.run_for(Duration::from_millis(17));
            assert!(network.now.since(before) < Duration::from_millis(380), "round {round}");
        }
    }
}

#[test]
fn a_bulk_transfer_of_200_kib_arrives_whole_under_loss_and_beside_other_traffic() {
    for seed in 0..6u32 {
        let (mut network, session) = connected(Conditions::rough(0.1));
        let payload: Vec<u8> = (0..200 * 1024u32).map(|n| (n.wrapping_mul(31 + seed) >> 3) as u8).collect();
        network.server.send_bulk(network.now, session, payload.clone()).unwrap();
        network.server.send_bulk(network.now, session, b"second".to_vec()).unwrap();
        let mut seconds = 0;
        while network.hosts[0].events.iter().filter(|event| matches!(event, ClientEvent::Bulk { .. })).count() < 2 {
            for n in 0..60u32 {
                network.server.send_unreliable(network.now, session, &[n as u8; 300], Some(n)).unwrap();
                network.run_for(Duration::from_millis(17));
            }
            seconds += 1;
            assert!(seconds < 10, "seed {seed}: 200 KiB do not arrive");
        }
        let bulks = network.hosts[0].events.iter().filter_map(|event| match event {
            ClientEvent::Bulk { payload } => Some(payload.clone()),
            _ => None,
        });
        let bulks: Vec<Vec<u8>> = bulks.collect();
        assert!(bulks == [payload, b"second".to_vec()], "seed {seed}");
    }
}

#[test]
fn a_tag_is_delivered_exactly_when_its_payload_arrived() {
    let (mut network, session) = connected(Conditions { loss: 0.3, ..Conditions::latency_ms(30) });
    for tag in 0..300u32 {
        network.server.send_unreliable(network.now, session, &tag.to_le_bytes(), Some(tag)).unwrap();
        network.run_for(Duration::from_millis(17));
    }
    network.run_for(Duration::from_secs(1));
    let arrived = network.hosts[0].events.iter().filter_map(|event| match event {
        ClientEvent::Unreliable { payload } => Some(u32::from_le_bytes(payload[..].try_into().unwrap())),
        _ => None,
    });
    let arrived: Vec<u32> = arrived.collect();
    let delivered: Vec<u32> = network
        .server_events
        .iter()
        .filter_map(|event| match event {
            ServerEvent::Delivered { tag, .. } => Some(*tag),
            _ => None,
        })
        .collect();
    assert!((150..270).contains(&arrived.len()), "{} of 300 arrived at 30 % loss", arrived.len());
    assert!(delivered.iter().all(|tag| arrived.contains(tag)), "a tag was delivered that never arrived");
    // Acks repeat themselves 32 times: hardly any delivery goes unnoticed.
    assert!(delivered.len() + 5 >= arrived.len(), "{} of {}", delivered.len(), arrived.len());
    let stats = network.server.stats(session).unwrap();
    assert!((0.15..0.5).contains(&stats.loss), "{stats:?}");
}

#[test]
fn what_fits_one_packet_is_one_packet_and_no_packet_is_too_long() {
    let (mut network, session) = connected(Conditions::PERFECT);
    while network.server.poll_transmit().is_some() {}
    let largest = vec![1; UNRELIABLE_BYTES_MAX];
    network.server.send_unreliable(network.now, session, &largest, None).unwrap();
    network.server.flush(network.now);
    assert_eq!(network.server.poll_transmit().unwrap().bytes.len(), PACKET_BYTES_MAX);
    network.server.send_unreliable(network.now, session, &[1; 400], None).unwrap();
    network.server.send_message(network.now, session, &[2; 300]).unwrap();
    network.server.flush(network.now);
    assert_eq!(network.server.poll_transmit().unwrap().bytes.len(), 39 + 3 + 400 + 7 + 300);
    assert_eq!(network.server.poll_transmit(), None);
    let too_long = vec![1; UNRELIABLE_BYTES_MAX + 1];
    let error = SendError::TooLong { bytes: too_long.len() };
    assert_eq!(network.server.send_unreliable(network.now, session, &too_long, None), Err(error));
}

#[test]
fn queues_are_bounded_when_the_peer_is_gone() {
    let (mut network, session) = connected(Conditions::latency_ms(10));
    network.hosts[0].down.set_conditions(Conditions { loss: 1.0, ..Conditions::PERFECT });
    let mut taken = 0;
    while network.server.send_message(network.now, session, &[0; 100]).is_ok() {
        taken += 1;
        network.run_for(Duration::from_millis(1));
    }
    assert_eq!(taken, 256);
    let pending = (0..100).filter(|_| network.server.send_unreliable(network.now, session, b"x", None).is_ok());
    assert_eq!(pending.count(), 32);
    let bulk = (0..100).filter(|_| network.server.send_bulk(network.now, session, vec![0; 10]).is_ok());
    assert_eq!(bulk.count(), 4);
}

#[test]
fn round_trip_time_and_jitter_are_measured() {
    let (mut network, session) = connected(Conditions::latency_ms(40));
    for _ in 0..200 {
        network.server.send_unreliable(network.now, session, b"state", None).unwrap();
        let now = network.now;
        network.hosts[0].client.send_unreliable(now, b"input", None).unwrap();
        network.run_for(Duration::from_millis(17));
    }
    for stats in [network.server.stats(session).unwrap(), network.hosts[0].client.stats()] {
        assert!(stats.rtt.abs_diff(Duration::from_millis(80)) < Duration::from_millis(3), "{stats:?}");
        assert!(stats.jitter < Duration::from_millis(2) && stats.loss < 0.01, "{stats:?}");
    }
}

#[test]
fn a_slow_line_is_not_drowned_by_a_bulk_transfer() {
    let narrow = Conditions { rate: Some(60_000), queue_bytes: 16_000, ..Conditions::latency_ms(20) };
    let (mut network, session) = connected(narrow);
    network.server.send_bulk(network.now, session, vec![9; 200 * 1024]).unwrap();
    for tag in 0..600u32 {
        network.server.send_unreliable(network.now, session, &[1; 100], Some(tag)).unwrap();
        network.run_for(Duration::from_millis(17));
    }
    let arrived =
        network.hosts[0].events.iter().filter(|event| matches!(event, ClientEvent::Unreliable { .. })).count();
    assert!(arrived > 480, "{arrived} of 600 snapshots passed beside the transfer");
    assert!(network.hosts[0].events.iter().any(|event| matches!(event, ClientEvent::Bulk { .. })));
}
