//! The control link's protocol as a pure state machine: messages and the passing of time in, messages and orders out.
//!
//! ```text
//! Down ──opened──► Registering ──Registered──► Up ──silence, fault, cut──► Down
//! ```

use std::time::Duration;

use protocol::id::MatchId;
use protocol::jwt::KeySet;
use protocol::pb;
use protocol::pb::allocator_message::Message as FromAllocator;
use protocol::pb::server_message::Message as ToAllocator;

use super::to_allocator;
use super::updates::Updates;

/// An allocator that does not answer Register within this time is given up.
const REGISTER_MS_MAX: u64 = 5_000;
/// Pings that may stay away before the link is given up.
const PINGS_MISSED_MAX: u64 = 4;
/// Silence that is always forgiven: a busy machine, or one packet of TCP that has to be sent again.
const SILENCE_MS_MIN: u64 = 5_000;

/// What the allocator orders.
#[derive(Debug, Clone)]
pub enum Order {
    /// New keys that verify join tokens: the link is up.
    Registered(KeySet),
    /// Host a match.
    Assign(MatchId, Box<pb::Assign>),
    /// Leave the pool when idle.
    Retire {
        /// Epoch of the leader.
        epoch: u64,
    },
    /// No new match; those running have so long.
    Drain {
        /// Epoch of the leader.
        epoch: u64,
        /// Time until they are ended.
        within: Duration,
        /// For logs.
        reason: String,
    },
    /// End a match that its caller gave up.
    Release {
        /// The match.
        id: MatchId,
        /// Epoch of the leader.
        epoch: u64,
        /// For logs.
        reason: String,
    },
}

/// Why the link is of no use and has to be dialled anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// Its key set cannot be read, so no player could be admitted.
    #[error("the allocator sent an unusable key set: {0}")]
    Keys(String),
    /// An order came before Registered.
    #[error("the allocator gave an order before it answered Register")]
    TooEarly,
    /// Nothing was heard for too long.
    #[error("nothing was heard from the allocator for {0} ms")]
    Silent(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Down,
    Registering,
    Up,
}

/// The state of the link. Times are milliseconds of one monotonic clock.
#[derive(Debug)]
pub struct Link {
    state: State,
    updates: Updates,
    heard_at_ms: u64,
    silence_ms_max: u64,
    alone_since_ms: u64,
    leave_after_ms: u64,
}

impl Link {
    /// A link that is down since `now_ms`; after `leave_after` without an allocator the server is to leave the pool.
    pub fn new(now_ms: u64, leave_after: Duration) -> Self {
        Self {
            state: State::Down,
            updates: Updates::default(),
            heard_at_ms: now_ms,
            silence_ms_max: REGISTER_MS_MAX,
            alone_since_ms: now_ms,
            leave_after_ms: u64::try_from(leave_after.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// A stream was opened, and Register sent over it.
    pub fn opened(&mut self, now_ms: u64) {
        self.state = State::Registering;
        self.heard_at_ms = now_ms;
        self.silence_ms_max = REGISTER_MS_MAX;
    }

    /// The stream has ended.
    pub fn closed(&mut self, now_ms: u64) {
        if self.state == State::Up {
            self.alone_since_ms = now_ms;
        }
        self.state = State::Down;
        self.updates.unsend();
    }

    /// Takes one message: its answer, and what it orders.
    ///
    /// # Errors
    /// [`LinkFault`]: close the stream.
    pub fn handle(
        &mut self,
        now_ms: u64,
        message: pb::AllocatorMessage,
    ) -> Result<(Option<pb::ServerMessage>, Option<Order>), LinkFault> {
        self.heard_at_ms = now_ms;
        let Some(message) = message.message else { return Ok((None, None)) };
        if let FromAllocator::Registered(registered) = message {
            return self.registered(now_ms, &registered).map(|order| (None, Some(order)));
        }
        if self.state != State::Up {
            return Err(LinkFault::TooEarly);
        }
        let order = match message {
            FromAllocator::Registered(_) => None,
            FromAllocator::Ping(ping) => {
                return Ok((Some(to_allocator(ToAllocator::Pong(pb::Pong { nonce: ping.nonce }))), None));
            }
            FromAllocator::UpdateAck(ack) => {
                self.updates.ack(ack.number);
                None
            }
            FromAllocator::Assign(assign) => match assign.match_id.parse() {
                Ok(id) => Some(Order::Assign(id, Box::new(assign))),
                Err(error) => return Ok((Some(malformed(assign, &error.to_string())), None)),
            },
            FromAllocator::Retire(retire) => Some(Order::Retire { epoch: retire.epoch }),
            FromAllocator::Drain(drain) => Some(Order::Drain {
                epoch: drain.epoch,
                within: Duration::from_millis(drain.deadline_ms),
                reason: drain.reason,
            }),
            FromAllocator::Release(release) => {
                let id = release.match_id.parse().ok();
                id.map(|id| Order::Release { id, epoch: release.epoch, reason: release.reason })
            }
        };
        Ok((None, order))
    }

    fn registered(&mut self, now_ms: u64, registered: &pb::Registered) -> Result<Order, LinkFault> {
        let keys = KeySet::from_json(&registered.jwks).map_err(|error| LinkFault::Keys(error.to_string()))?;
        self.state = State::Up;
        self.alone_since_ms = now_ms;
        self.silence_ms_max = (u64::from(registered.ping_interval_ms) * PINGS_MISSED_MAX).max(SILENCE_MS_MIN);
        Ok(Order::Registered(keys))
    }

    /// Adds a match update; it leaves with the next [`due`](Self::due).
    pub fn update(&mut self, update: pb::MatchUpdate) {
        self.updates.push(update);
    }

    /// Updates to send now; nothing while the link is not up.
    pub fn due(&mut self, now_ms: u64) -> Vec<pb::ServerMessage> {
        if self.state != State::Up {
            return Vec::new();
        }
        self.updates.due(now_ms).into_iter().map(|update| to_allocator(ToAllocator::MatchUpdate(update))).collect()
    }

    /// Whether the link is still of use.
    ///
    /// # Errors
    /// [`LinkFault::Silent`]: close the stream.
    pub fn check(&self, now_ms: u64) -> Result<(), LinkFault> {
        let silence_ms = now_ms.saturating_sub(self.heard_at_ms);
        if self.state != State::Down && silence_ms >= self.silence_ms_max {
            return Err(LinkFault::Silent(silence_ms));
        }
        Ok(())
    }

    /// Whether the allocator has answered Register over the stream that stands.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether no allocator was there for so long that the server is to leave the pool.
    pub fn is_forsaken(&self, now_ms: u64) -> bool {
        self.state != State::Up && now_ms.saturating_sub(self.alone_since_ms) >= self.leave_after_ms
    }

    /// Whether the allocator has recorded everything.
    pub fn is_settled(&self) -> bool {
        self.updates.is_empty()
    }
}

/// The answer to an Assign whose match has no readable id.
fn malformed(assign: pb::Assign, detail: &str) -> pb::ServerMessage {
    let refused = pb::Refused { reason: pb::RefusalReason::Game.into(), detail: detail.into() };
    let reply = Some(pb::assign_reply::Reply::Refused(refused));
    to_allocator(ToAllocator::AssignReply(pb::AssignReply {
        match_id: assign.match_id,
        attempt: assign.attempt,
        reply,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::to_server;
    use super::*;

    fn registered() -> pb::AllocatorMessage {
        let jwks = KeySet::new([protocol::jwt::SigningKey::from_seed(&[1; 32]).public_key()]).to_json();
        to_server(FromAllocator::Registered(pb::Registered { epoch: 1, jwks, ping_interval_ms: 1_500 }))
    }

    fn link() -> Link {
        Link::new(0, Duration::from_secs(600))
    }

    fn up() -> Link {
        let mut link = link();
        link.opened(0);
        assert!(matches!(link.handle(0, registered()), Ok((None, Some(Order::Registered(_))))));
        link
    }

    fn phases(messages: &[pb::ServerMessage]) -> Vec<u64> {
        let number = |message: &pb::ServerMessage| match &message.message {
            Some(ToAllocator::MatchUpdate(update)) => update.number,
            other => panic!("{other:?} is no update"),
        };
        messages.iter().map(number).collect()
    }

    #[test]
    fn updates_wait_for_the_link_and_are_repeated_after_a_cut() {
        let mut link = link();
        link.update(pb::MatchUpdate::default());
        link.opened(0);
        assert!(link.due(0).is_empty(), "not before Registered");
        link.handle(1, registered()).expect("good keys");
        assert_eq!(phases(&link.due(1)), [1]);
        link.closed(2);
        link.opened(3);
        link.handle(4, registered()).expect("good keys");
        assert_eq!(phases(&link.due(4)), [1]);
        link.handle(5, to_server(FromAllocator::UpdateAck(pb::UpdateAck { number: 1 }))).expect("an ack");
        assert!(link.is_settled() && link.due(9_999).is_empty());
    }

    #[test]
    fn a_ping_is_answered_and_silence_gives_the_link_up() {
        let mut link = up();
        let ping = to_server(FromAllocator::Ping(pb::Ping { nonce: 7 }));
        let (pong, _) = link.handle(1_000, ping).expect("a ping");
        assert_eq!(pong, Some(to_allocator(ToAllocator::Pong(pb::Pong { nonce: 7 }))));
        assert_eq!(link.check(6_999), Ok(()));
        assert_eq!(link.check(7_000), Err(LinkFault::Silent(6_000)));
        link.closed(7_000);
        assert_eq!(link.check(99_999), Ok(()), "a link that is down cannot fall silent");
        link.opened(100_000);
        assert_eq!(link.check(100_000 + REGISTER_MS_MAX), Err(LinkFault::Silent(REGISTER_MS_MAX)));
    }

    #[test]
    fn orders_before_registration_and_unusable_keys_are_faults() {
        let mut link = link();
        link.opened(0);
        let retire = to_server(FromAllocator::Retire(pb::Retire { epoch: 1 }));
        assert_eq!(link.handle(0, retire).expect_err("too early"), LinkFault::TooEarly);
        let bad = to_server(FromAllocator::Registered(pb::Registered { jwks: "{}".into(), ..Default::default() }));
        assert!(matches!(link.handle(0, bad), Err(LinkFault::Keys(_))));
        assert!(!link.is_up());
    }

    #[test]
    fn a_match_without_a_readable_id_is_refused_by_name() {
        let mut link = up();
        let assign = pb::Assign { match_id: "x".into(), attempt: 3, ..Default::default() };
        let (reply, order) = link.handle(0, to_server(FromAllocator::Assign(assign))).expect("an answer");
        let Some(ToAllocator::AssignReply(reply)) = reply.and_then(|m| m.message) else { panic!("no reply") };
        assert!(order.is_none() && reply.attempt == 3);
        assert!(matches!(reply.reply, Some(pb::assign_reply::Reply::Refused(_))));
    }

    #[test]
    fn ten_minutes_without_an_allocator_are_too_long_and_a_return_mends_it() {
        let mut link = up();
        assert!(!link.is_forsaken(10_000_000));
        link.closed(1_000);
        link.opened(2_000);
        assert!(!link.is_forsaken(600_999));
        assert!(link.is_forsaken(601_000), "an open stream without Registered is no allocator");
        link.handle(601_001, registered()).expect("good keys");
        assert!(!link.is_forsaken(9_999_999));
    }
}
