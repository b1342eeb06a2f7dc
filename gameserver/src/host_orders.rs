//! The host and the allocator: the link's events, and the orders that come over it.

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::id::MatchId;
use protocol::pb;
use protocol::pb::assign_reply::Reply;
use protocol::pb::server_message::Message as ToAllocator;
use protocol::pb::{MatchPhase, PlayerPhase, RefusalReason};
use tokio::sync::mpsc::error::TrySendError;

use crate::control::dial::LinkEvent;
use crate::control::link::Order;
use crate::control::to_allocator;
use crate::host::{Host, Hosting, millis};
use crate::io_rooms::PlayerNews;
use crate::lifecycle;
use crate::room_thread::RoomOrder;
use crate::rooms::{self, Decision};

/// While there is no allocator, the log says so this often.
const COMPLAIN_EVERY_MS: u64 = 30_000;

impl Host {
    pub(crate) fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Opened(connection) => {
                self.connection = Some(connection);
                self.link.opened(self.now_ms());
                let register = pb::Register {
                    hosted: self.arbiter.hosted(),
                    epoch_seen: self.arbiter.epoch_seen(),
                    state: self.state_name(),
                    uptime_ms: self.now_ms(),
                    ..self.parts.identity.clone()
                };
                self.send(to_allocator(ToAllocator::Register(register)));
            }
            // What was under way on a stream that this server has cut means nothing any more.
            LinkEvent::Message(_) if self.connection.is_none() => {}
            LinkEvent::Message(message) => match self.link.handle(self.now_ms(), message) {
                Ok((reply, order)) => {
                    reply.into_iter().for_each(|reply| self.send(reply));
                    order.into_iter().for_each(|order| self.order(order));
                }
                Err(fault) => self.cut(&fault.to_string()),
            },
            LinkEvent::Closed(why) => {
                self.complain(&why);
                self.connection = None;
                self.link.closed(self.now_ms());
            }
        }
    }

    /// The link has ended, or could not be opened: without it no match comes here, so the log says why, and again while
    /// that lasts.
    fn complain(&mut self, why: &str) {
        let now_ms = self.now_ms();
        if self.link.is_up() {
            tracing::warn!(why, "lost the allocator; dialling again");
        } else if now_ms >= self.silent_until_ms {
            tracing::warn!(why, "no allocator, so no match comes here; dialling again");
        } else {
            tracing::debug!(why, "no allocator; dialling again");
            return;
        }
        self.silent_until_ms = now_ms + COMPLAIN_EVERY_MS;
    }

    /// Sends over the link that stands; without one, or when it is too slow, whatever matters is repeated later.
    pub(crate) fn send(&mut self, message: pb::ServerMessage) {
        let Some(connection) = &self.connection else { return };
        match connection.messages.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.cut("it does not take messages"),
            // The stream has ended: why, the event that is on its way says.
            Err(TrySendError::Closed(_)) => self.connection = None,
        }
    }

    pub(crate) fn cut(&mut self, why: &str) {
        if self.connection.take().is_some() {
            tracing::warn!(why, "cutting the control link");
            self.silent_until_ms = self.now_ms() + COMPLAIN_EVERY_MS;
        }
        self.link.closed(self.now_ms());
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Registered(keys) => {
                tracing::info!(matches = self.arbiter.len(), "registered with the allocator");
                self.silent_until_ms = 0;
                self.parts.keys.replace(keys);
                if let Some(reason) = self.arbiter.leaving().map(str::to_owned) {
                    self.send(to_allocator(ToAllocator::Leaving(pb::Leaving { reason })));
                }
            }
            Order::Assign(id, assign) => self.assign(id, &assign),
            Order::Retire { epoch } => {
                if self.obeys(epoch, "Retire") {
                    self.leave("retired by the allocator", None);
                }
            }
            Order::Drain { epoch, within, reason } => {
                if self.obeys(epoch, "Drain") {
                    tracing::info!(reason, within_ms = millis(within), "draining by order of the allocator");
                    self.leave("draining by order of the allocator", Some(within));
                }
            }
            Order::Release { id, epoch, reason } => {
                if self.obeys(epoch, "Release") {
                    self.release(id, &reason);
                }
            }
        }
    }

    fn obeys(&mut self, epoch: u64, order: &'static str) -> bool {
        let obeyed = self.arbiter.obey(epoch);
        if let Err(stale) = obeyed {
            tracing::warn!(order, %stale, "ignoring an order of a leader who has been replaced");
        }
        obeyed.is_ok()
    }

    fn release(&mut self, id: MatchId, reason: &str) {
        let Some(hosting) = self.matches.get_mut(&id).filter(|hosting| !hosting.has_ended) else { return };
        tracing::info!(match_id = %id, trace_id = hosting.trace_id, reason, "released by the allocator");
        hosting.abort.get_or_insert("released");
        hosting.is_released = true;
        // A repeated Assign is refused from now on, instead of being answered with a room that is about to end.
        self.arbiter.advance(id, MatchPhase::Ended);
        self.parts.stage.abort(id, "released");
    }

    fn assign(&mut self, id: MatchId, assign: &pb::Assign) {
        let closed = lifecycle::closed(self.parts.observed.borrow().as_ref());
        match self.arbiter.assign(id, assign, closed.as_deref()) {
            Decision::Joinable => self.reply(id, assign.attempt, Reply::Joinable(pb::Joinable {})),
            Decision::Refuse(reason, detail) => {
                tracing::info!(match_id = %id, trace_id = assign.trace_id, ?reason, detail, "refusing a match");
                self.refuse(id, assign.attempt, reason, detail);
            }
            Decision::Wait => {
                if let Some(hosting) = self.matches.get_mut(&id) {
                    hosting.unanswered.insert(assign.attempt);
                }
            }
            Decision::Start => match self.room_order(id, assign) {
                Ok(order) => {
                    let (trace_id, players) = (&assign.trace_id, order.players.len());
                    tracing::info!(match_id = %id, trace_id, queue = assign.queue, players, "taking a match");
                    let hosting = Hosting {
                        certificate: assign.certificate.clone(),
                        trace_id: assign.trace_id.clone(),
                        unanswered: BTreeSet::from([assign.attempt]),
                        abort: None,
                        has_ended: false,
                        unreported_end: None,
                        is_released: false,
                    };
                    self.matches.insert(id, hosting);
                    self.parts.stage.start(order);
                }
                Err(detail) => {
                    self.arbiter.refused(id);
                    self.refuse(id, assign.attempt, RefusalReason::Game, detail);
                }
            },
        }
    }

    fn room_order(&self, id: MatchId, assign: &pb::Assign) -> Result<RoomOrder, String> {
        let settings = if assign.settings_json.is_empty() { "{}" } else { &assign.settings_json };
        let settings =
            serde_json::from_str(settings).map_err(|error| format!("the settings are no JSON object: {error}"))?;
        let join_deadline = match assign.join_deadline_ms {
            0 => self.parts.join_deadline,
            ms => Duration::from_millis(u64::from(ms)),
        };
        Ok(RoomOrder {
            id,
            seed: assign.seed,
            tick_rate_hz: self.parts.identity.tick_rate_hz,
            players: rooms::players(&assign.roster)?,
            roster: assign.roster.clone(),
            settings,
            join_deadline,
            trace_id: assign.trace_id.clone(),
        })
    }

    pub(crate) fn refuse(&mut self, id: MatchId, attempt: u32, reason: RefusalReason, detail: String) {
        self.reply(id, attempt, Reply::Refused(pb::Refused { reason: reason.into(), detail }));
    }

    pub(crate) fn reply(&mut self, id: MatchId, attempt: u32, reply: Reply) {
        crate::metrics::assign(match &reply {
            Reply::Joinable(_) => "joinable",
            Reply::Refused(refused) => refused.reason().as_str_name(),
        });
        let reply = pb::AssignReply { match_id: id.to_string(), attempt, reply: Some(reply) };
        self.send(to_allocator(ToAllocator::AssignReply(reply)));
    }

    pub(crate) fn player(&mut self, news: &PlayerNews) {
        let phase = match news.phase {
            PlayerPhase::Connected => "connected",
            PlayerPhase::Lost => "lost",
            PlayerPhase::Gone => "gone",
            PlayerPhase::Unspecified => return,
        };
        let trace_id = self.matches.get(&news.id).map(|hosting| hosting.trace_id.as_str()).unwrap_or_default();
        tracing::info!(match_id = %news.id, trace_id, player_id = %news.player, phase, "player");
        if self.link.is_up() {
            self.send(to_allocator(ToAllocator::PlayerUpdate(pb::PlayerUpdate {
                match_id: news.id.to_string(),
                player_id: news.player.to_string(),
                phase: news.phase.into(),
                reason: String::new(),
            })));
        }
    }
}
