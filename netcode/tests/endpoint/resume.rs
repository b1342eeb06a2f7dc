//! Coming back to a seat: by a resume ticket and by a fresh token, over both carriers, with every reliable message.

use std::time::Duration;

use netcode::emulator::{Conditions, Network, Random};
use netcode::endpoint::{
    Carrier, ClientConfig, ClientEndpoint, ClientEvent, Credential, Received, Resumption, SendError, ServerEvent,
};
use protocol::id::{MatchId, PlayerId};
use protocol::wire::{CloseReason, Refusal, packet_type};

use crate::world::*;

fn seat(player: u8) -> (MatchId, PlayerId) {
    let claims = claims(player, 0);
    (claims.mid, claims.sub)
}

/// Puts a new client in the place of the old one, which is gone without a word, at an address of its own.
fn replace(network: &mut Network, place: usize, credential: Credential, carrier: Carrier, number: u64) {
    let quic = (carrier == Carrier::Quic).then(quic_client_config);
    let config = ClientConfig { credential, quic, ..client_config(String::new()) };
    let host = &mut network.hosts[place];
    host.client = ClientEndpoint::new(config, entropy(1_000_000 + number), network.now);
    host.address = address(100 + number as u16);
}

fn resumption(network: &Network) -> Resumption {
    network.hosts[0].client.resumption().expect("the server was heard")
}

fn resume(network: &mut Network, carrier: Carrier, number: u64) {
    let credential = Credential::Resume(Box::new(resumption(network)));
    replace(network, 0, credential, carrier, number);
}

/// A server of both carriers with one connected player.
fn playing(conditions: Conditions) -> Network {
    let mut network = mixed_network();
    join(&mut network, 1, 1, conditions);
    network.run_for(Duration::from_secs(2));
    assert!(network.hosts[0].client.is_open(), "{:?}", network.hosts[0].events);
    network
}

fn close(network: &mut Network, reason: CloseReason) {
    let session = last_session(network).unwrap();
    network.server.close(network.now, session, reason);
}

fn resumes(network: &Network) -> usize {
    network.server_events.iter().filter(|event| matches!(event, ServerEvent::Connected { resumed: true, .. })).count()
}

/// Numbered messages in both directions across the sessions of one player, checked as they arrive.
struct Talk {
    network: Network,
    random: Random,
    seed: u64,
    said: [u32; 2],
    /// What the server has heard, what the client has.
    heard: [u32; 2],
    clients: u64,
    /// A fresh token was used: messages may come again, from any number that is not higher than the next.
    may_repeat: bool,
}

impl Talk {
    fn new(seed: u64) -> Self {
        let conditions = Conditions { latency: Duration::from_millis(15), ..Conditions::rough(0.15) };
        let mut network = playing(conditions);
        network.server_events.clear();
        Self { network, random: Random::new(seed), seed, said: [0; 2], heard: [0; 2], clients: 0, may_repeat: false }
    }

    /// Both sides say something, and a little time passes.
    fn turn(&mut self) {
        let (match_id, player) = seat(1);
        let text = self.text(0);
        if self.network.server.send_to_player(self.network.now, match_id, player, &text).is_ok() {
            self.said[0] += 1;
        }
        let text = self.text(1);
        if self.network.hosts[0].client.send_message(self.network.now, &text).is_ok() {
            self.said[1] += 1;
        }
        let time = Duration::from_millis(self.random.below(60));
        self.pass(time);
    }

    /// The next message, of one segment or several.
    fn text(&mut self, by: usize) -> Vec<u8> {
        let mut text = self.said[by].to_le_bytes().to_vec();
        text.resize(4 + self.random.below(2_500) as usize, 7);
        text
    }

    fn pass(&mut self, time: Duration) {
        self.network.run_for(time);
        for event in std::mem::take(&mut self.network.server_events) {
            match event {
                ServerEvent::Message { payload, .. } => self.hear(0, &payload),
                ServerEvent::Connected { claims, .. } => assert_eq!((claims.mid, claims.sub), seat(1)),
                _ => {}
            }
        }
        for event in std::mem::take(&mut self.network.hosts[0].events) {
            match event {
                ClientEvent::Message { payload } => self.hear(1, &payload),
                ClientEvent::Refused { refusal, .. } => panic!("seed {}: {refusal:?}", self.seed),
                _ => {}
            }
        }
    }

    fn hear(&mut self, by: usize, payload: &[u8]) {
        let number = u32::from_le_bytes(*payload.first_chunk().unwrap());
        if by == 1 && std::mem::take(&mut self.may_repeat) && number < self.heard[1] {
            self.heard[1] = number;
        }
        assert_eq!(number, self.heard[by], "seed {}: heard by {}", self.seed, ["server", "client"][by]);
        self.heard[by] += 1;
    }

    /// The client comes back, over any carrier, from another address; perhaps after a while, perhaps with a ticket that was
    /// in a file.
    fn come_back(&mut self) {
        self.pass(Duration::ZERO);
        self.clients += 1;
        let carrier = if self.random.chance(0.5) { Carrier::Native } else { Carrier::Quic };
        let kept =
            self.network.hosts[0].client.resumption().map(|kept| Resumption::from_bytes(&kept.to_bytes()).unwrap());
        let Some(kept) = kept else { return };
        replace(&mut self.network, 0, Credential::Resume(Box::new(kept)), carrier, self.seed * 1_000 + self.clients);
        let wait = [0, 100, 1_000][self.random.below(3) as usize];
        self.pass(Duration::from_millis(wait));
    }

    /// The process is relaunched and remembers nothing: what it had said and the server had not heard is lost with it.
    fn relaunch(&mut self) {
        self.pass(Duration::ZERO);
        self.clients += 1;
        let token = token(1, 100 + self.clients as u32);
        let carrier = if self.random.chance(0.5) { Carrier::Native } else { Carrier::Quic };
        replace(&mut self.network, 0, Credential::JoinToken(token), carrier, self.seed * 1_000 + self.clients);
        self.may_repeat = true;
    }

    /// Everything that was said is heard in the end; attempts that failed are made again.
    fn settle(&mut self) {
        for _ in 0..60 {
            self.pass(Duration::from_secs(1));
            if [self.heard[1], self.heard[0]] == self.said {
                return;
            }
            if self.network.hosts[0].client.is_done() {
                self.come_back();
            }
            // A process that got no answer at all asks for another token.
            if self.network.hosts[0].client.is_done() {
                self.relaunch();
            }
        }
        panic!("seed {}: said {:?}, heard {:?}", self.seed, self.said, self.heard);
    }
}

#[test]
fn who_resumes_at_any_moment_over_any_carrier_misses_nothing_and_hears_nothing_twice() {
    let (mut resumed, mut said) = (0, [0; 2]);
    for seed in 0..24 {
        let mut talk = Talk::new(seed);
        for _ in 0..6 {
            for _ in 0..talk.random.below(12) {
                talk.turn();
            }
            talk.come_back();
        }
        talk.settle();
        said = [said[0] + talk.said[0], said[1] + talk.said[1]];
        resumed += talk.network.server.counters().resumed;
    }
    assert!(resumed > 60 && said.iter().all(|said| *said > 200), "{resumed} came back, {said:?} messages");
}

#[test]
fn who_comes_back_with_a_fresh_token_misses_no_message_of_the_server() {
    for seed in 0..12 {
        let mut talk = Talk::new(seed);
        for _ in 0..4 {
            for _ in 0..talk.random.below(12) {
                talk.turn();
            }
            talk.relaunch();
            // What the process before had said is no concern of this one.
            talk.pass(Duration::from_secs(4));
            talk.said[1] = talk.heard[0];
        }
        talk.settle();
        assert!(talk.said[0] > 8, "seed {seed}: {:?}", talk.said);
    }
}

#[test]
fn messages_for_a_lost_player_wait_within_their_bound() {
    let mut network = playing(Conditions::latency_ms(10));
    let (match_id, player) = seat(1);
    let kept = resumption(&network);
    close(&mut network, CloseReason::TimedOut);
    let mut sent = 0u32;
    let refused = loop {
        match network.server.send_to_player(network.now, match_id, player, &sent.to_le_bytes()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((sent, refused), (256, SendError::Full));
    network.run_for(Duration::from_millis(100));
    network.hosts[0].events.clear();
    replace(&mut network, 0, Credential::Resume(Box::new(kept)), Carrier::Native, 1);
    network.run_for(Duration::from_secs(2));
    let heard: Vec<u32> = messages_to_client(&network.hosts[0].events)
        .iter()
        .map(|message| u32::from_le_bytes(*message.first_chunk().unwrap()))
        .collect();
    assert_eq!(heard, (0..256).collect::<Vec<_>>());
}

#[test]
fn a_client_is_back_within_a_second_from_every_state_and_its_older_session_is_closed() {
    // Milliseconds that the player was away: the old session is open, silent (Lost), gone on QUIC.
    for away_ms in [0, 6_000, 30_000] {
        for (from, to) in [
            (Carrier::Native, Carrier::Native),
            (Carrier::Native, Carrier::Quic),
            (Carrier::Quic, Carrier::Native),
            (Carrier::Quic, Carrier::Quic),
        ] {
            let mut network = playing(Conditions::latency_ms(20));
            resume(&mut network, from, 1);
            network.run_for(Duration::from_secs(1));
            let kept = resumption(&network);
            let older = last_session(&network).unwrap();
            network.hosts[0].client = client("gone".into(), 9, network.now);
            network.hosts[0].address = address(50_000);
            network.run_for(Duration::from_millis(away_ms));
            replace(&mut network, 0, Credential::Resume(Box::new(kept)), to, 2);
            network.run_for(Duration::from_secs(1));
            let case = format!("{from:?} to {to:?} after {away_ms} ms");
            assert!(network.hosts[0].client.is_open(), "{case}");
            assert_eq!(resumes(&network), 2, "{case}");
            let session = last_session(&network).unwrap();
            assert_ne!(session, older, "{case}");
            assert_eq!(network.server.carrier(session), Some(to), "{case}");
            let is_closed =
                |event: &ServerEvent| matches!(event, ServerEvent::Closed { session, .. } if *session == older);
            assert!(network.server_events.iter().any(is_closed), "{case}");
        }
    }
}

#[test]
fn the_ticket_before_is_good_until_its_successor_is_confirmed_and_worthless_then() {
    for carrier in [Carrier::Native, Carrier::Quic] {
        let mut network = playing(Conditions::latency_ms(10));
        let first = resumption(&network);
        // The server offers, and nobody hears it.
        resume(&mut network, carrier, 1);
        let deaf = Conditions { loss: 1.0, ..Conditions::latency_ms(10) };
        network.run_for(Duration::from_millis(25));
        network.hosts[0].down.set_conditions(deaf);
        network.run_for(Duration::from_secs(6));
        assert!(network.hosts[0].events.contains(&ClientEvent::TimedOut), "{:?}", network.hosts[0].events);
        assert_eq!(resumes(&network), 0);
        let kept = network.hosts[0].client.resumption().expect("the attempt failed, the ticket did not");
        assert_eq!(kept, first);
        network.hosts[0].down.set_conditions(Conditions::latency_ms(10));
        replace(&mut network, 0, Credential::Resume(Box::new(kept)), carrier, 2);
        network.run_for(Duration::from_secs(1));
        assert!(network.hosts[0].client.is_open() && resumes(&network) == 1, "{carrier:?}");
        assert_eq!(network.server.resume_tickets(), 1);
        let newest = resumption(&network);
        replace(&mut network, 0, Credential::Resume(Box::new(first)), carrier, 3);
        network.run_for(Duration::from_secs(1));
        assert_eq!(refusal(&network.hosts[0].events), Some(Refusal::ResumeTicket), "{carrier:?}");
        assert_eq!(network.hosts[0].client.resumption(), None, "a used-up ticket is not kept");
        assert_eq!((resumes(&network), network.server.resume_tickets()), (1, 1));
        replace(&mut network, 0, Credential::Resume(Box::new(newest)), carrier, 4);
        network.run_for(Duration::from_secs(1));
        assert_eq!(resumes(&network), 2, "{carrier:?}");
    }
}

#[test]
fn who_never_heard_the_server_after_a_takeover_comes_back_with_the_ticket_before() {
    for carrier in [Carrier::Native, Carrier::Quic] {
        let mut network = playing(Conditions::latency_ms(10));
        let first = resumption(&network);
        resume(&mut network, carrier, 1);
        // The client has its offer, and its first packet is under way; from here it hears nothing.
        while !network.hosts[0].client.is_open() {
            network.run_for(Duration::from_millis(1));
        }
        network.hosts[0].down.set_conditions(Conditions { loss: 1.0, ..Conditions::PERFECT });
        network.run_for(Duration::from_millis(300));
        assert_eq!((resumes(&network), network.server.resume_tickets()), (1, 2), "{carrier:?}: it has begun");
        let kept = resumption(&network);
        assert_eq!(kept, first, "{carrier:?}: the newer ticket may never have become good");
        network.hosts[0].down.set_conditions(Conditions::latency_ms(10));
        replace(&mut network, 0, Credential::Resume(Box::new(kept)), carrier, 2);
        network.run_for(Duration::from_secs(1));
        assert!(network.hosts[0].client.is_open() && resumes(&network) == 2, "{carrier:?}");
        assert_eq!(network.server.resume_tickets(), 1, "{carrier:?}: heard, so the ticket before is used up");
    }
}

#[test]
fn a_ticket_id_without_its_secret_opens_nothing_and_harms_nobody() {
    for carrier in [Carrier::Native, Carrier::Quic] {
        let mut network = playing(Conditions::latency_ms(10));
        let mut stolen = resumption(&network).to_bytes();
        stolen[17] ^= 1;
        let thief = Credential::Resume(Box::new(Resumption::from_bytes(&stolen).unwrap()));
        join(&mut network, 2, 1, Conditions::latency_ms(10));
        replace(&mut network, 1, thief, carrier, 1);
        network.run_for(Duration::from_secs(1));
        assert_eq!(refusal(&network.hosts[1].events), Some(Refusal::ResumeTicket), "{carrier:?}");
        assert_eq!(resumes(&network), 0);
        assert!(network.hosts[0].client.is_open(), "its owner plays on");
        resume(&mut network, carrier, 2);
        network.run_for(Duration::from_secs(1));
        assert_eq!(resumes(&network), 1, "and its ticket is still good");
    }
}

#[test]
fn a_count_of_what_was_never_sent_is_refused() {
    let mut network = playing(Conditions::latency_ms(10));
    let mut ahead = resumption(&network).to_bytes();
    ahead[49..53].copy_from_slice(&77u32.to_le_bytes());
    let credential = Credential::Resume(Box::new(Resumption::from_bytes(&ahead).unwrap()));
    replace(&mut network, 0, credential, Carrier::Native, 1);
    network.run_for(Duration::from_secs(1));
    assert_eq!(refusal(&network.hosts[0].events), Some(Refusal::ResumeTicket));
}

#[test]
fn a_ticket_dies_with_its_seat_its_match_and_its_players_farewell() {
    let forget_seat = |network: &mut Network| {
        network.server.forget_seat(network.now, seat(1).0, seat(1).1);
        assert_eq!(network.server.resume_tickets(), 1, "not while a session is open");
        close(network, CloseReason::TimedOut);
        network.server.forget_seat(network.now, seat(1).0, seat(1).1);
    };
    let forget_match = |network: &mut Network| {
        close(network, CloseReason::Protocol);
        network.server.forget_match(network.now, seat(1).0);
    };
    let leave = |network: &mut Network| close(network, CloseReason::Left);
    let ends: [&dyn Fn(&mut Network); 3] = [&forget_seat, &forget_match, &leave];
    for (n, end) in ends.into_iter().enumerate() {
        let mut network = playing(Conditions::latency_ms(10));
        let kept = resumption(&network);
        end(&mut network);
        assert_eq!(network.server.resume_tickets(), 0, "{n}");
        let (match_id, player) = seat(1);
        let sent = network.server.send_to_player(network.now, match_id, player, b"anyone?");
        assert_eq!(sent, Err(SendError::NotOpen), "{n}");
        replace(&mut network, 0, Credential::Resume(Box::new(kept)), Carrier::Native, 1);
        network.run_for(Duration::from_secs(1));
        assert_eq!(refusal(&network.hosts[0].events), Some(Refusal::ResumeTicket), "{n}");
    }
}

#[test]
fn a_seat_that_goes_while_a_resume_is_offered_takes_the_offer_with_it() {
    let mut network = playing(Conditions::latency_ms(10));
    resume(&mut network, Carrier::Native, 1);
    // Hello, cookie, connect, worker: the offer is on its way.
    network.run_for(Duration::from_millis(35));
    assert_eq!(network.server.half_open(), 1);
    close(&mut network, CloseReason::TimedOut);
    network.server.forget_seat(network.now, seat(1).0, seat(1).1);
    assert_eq!(network.server.half_open(), 0);
    network.run_for(Duration::from_secs(6));
    assert_eq!((resumes(&network), network.server.sessions()), (0, 0));
}

#[test]
fn the_newest_of_several_attempts_with_one_ticket_wins() {
    let mut network = playing(Conditions::latency_ms(10));
    let kept = resumption(&network);
    let slow = Conditions { latency: Duration::from_millis(60), ..Conditions::PERFECT };
    replace(&mut network, 0, Credential::Resume(Box::new(kept.clone())), Carrier::Native, 1);
    join(&mut network, 1, 99, slow);
    replace(&mut network, 1, Credential::Resume(Box::new(kept)), Carrier::Native, 2);
    network.run_for(Duration::from_secs(1));
    assert_eq!((network.server.sessions(), network.server.resume_tickets()), (1, 1));
    let open: Vec<bool> = network.hosts.iter().map(|host| refusal(&host.events).is_none()).collect();
    assert_eq!(open, [true, false], "the first was confirmed before the second's Connect came: its ticket was used up");
}

#[test]
fn a_resume_that_is_recorded_and_played_again_brings_nobody_back() {
    let mut network = playing(Conditions::latency_ms(10));
    resume(&mut network, Carrier::Native, 1);
    // By hand from here: every datagram of the client is kept.
    let (from, mut recorded) = (network.hosts[0].address, Vec::new());
    for _ in 0..80 {
        network.now = network.now + Duration::from_millis(1);
        let now = network.now;
        network.hosts[0].client.handle_timeout(now);
        while let Some(transmit) = network.hosts[0].client.poll_transmit() {
            recorded.push(transmit.bytes.clone());
            network.server.handle_datagram(now, from, &transmit.bytes);
        }
        while let Some(job) = network.server.poll_handshake() {
            let done = job.run(&verify);
            network.server.complete_handshake(now, done);
        }
        while let Some(transmit) = network.server.poll_transmit() {
            network.hosts[0].client.handle_datagram(now, server_address(), &transmit.bytes);
        }
        network.server_events.extend(std::iter::from_fn(|| network.server.poll_event()));
    }
    assert_eq!(resumes(&network), 1);
    let first_data = recorded.iter().find(|bytes| bytes[0] == packet_type::DATA).unwrap();
    let connect = recorded.iter().find(|bytes| bytes[0] == packet_type::CONNECT).unwrap();
    assert!(matches!(network.inject(from, first_data), Received::Dropped(_)), "the session has begun already");
    // Once the server has forgotten the attempt, the Connect is a new one; its cookie is still good.
    network.now = network.now + Duration::from_secs(7);
    network.server.handle_timeout(network.now);
    network.inject(from, connect);
    let job = network.server.poll_handshake().expect("the cookie is good");
    let done = job.run(&verify);
    network.server.complete_handshake(network.now, done);
    assert_eq!(network.server.counters().refused(Refusal::ResumeTicket), 1);
    assert!(matches!(network.inject(from, first_data), Received::Dropped(_)));
    network.server_events.extend(std::iter::from_fn(|| network.server.poll_event()));
    assert_eq!((resumes(&network), network.server.resume_tickets()), (1, 1));
}

#[test]
fn no_more_seats_wait_for_their_players_than_the_server_has_sessions() {
    let mut network = network_of(netcode::endpoint::ServerConfig { sessions_max: 2, ..config() });
    let mut left = Vec::new();
    for player in 1..=3 {
        let place = join(&mut network, player, 1, Conditions::latency_ms(10));
        network.run_for(Duration::from_secs(1));
        left.push(network.hosts[place].client.resumption().expect("the server was heard"));
        close(&mut network, CloseReason::TimedOut);
        network.run_for(Duration::from_secs(1));
    }
    assert_eq!(network.server.resume_tickets(), 2);
    for (place, resumption) in left.into_iter().enumerate() {
        replace(&mut network, place, Credential::Resume(Box::new(resumption)), Carrier::Native, 1 + place as u64);
    }
    network.run_for(Duration::from_secs(1));
    assert_eq!(refusal(&network.hosts[0].events), Some(Refusal::ResumeTicket), "it was away for longest");
    assert!(network.hosts[1].client.is_open() && network.hosts[2].client.is_open());
}

#[test]
fn a_player_who_resumes_is_no_one_more_on_a_full_server() {
    let mut network = Network::new(
        quic_server_of(netcode::endpoint::ServerConfig { sessions_max: 1, ..config() }),
        server_address(),
        Box::new(verify),
    );
    join(&mut network, 1, 1, Conditions::latency_ms(10));
    network.run_for(Duration::from_secs(1));
    resume(&mut network, Carrier::Quic, 1);
    network.run_for(Duration::from_secs(1));
    assert_eq!(resumes(&network), 1);
}
