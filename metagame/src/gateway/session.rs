//! A session: what a player's client has still to hear, whether a connection serves it or not.

use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::id::{PartyId, PlayerId};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::core::gateway::resume::{ResumeHash, ResumeTokens};
use crate::core::gateway::stream::{Body, Bounds, Out, Stream};
use crate::core::session::SessionId;

use super::message;
use super::presence::Seen;
use super::register::Note;

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closing {
    pub(crate) reason: &'static str,
    pub(crate) resume: bool,
    pub(crate) retry_after_ms: u32,
}

/// What a connection does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Waits.
    Nothing,
    /// Sends this.
    Frame(Vec<u8>),
    /// Says how this player is seen now.
    Presence(PlayerId),
    /// Says that something was given up, and then everything as it is.
    Resync,
    /// Looks again what the player's party, friends and blocks are.
    Refresh,
    /// Sends messages of the inbox after this one.
    Inbox(u64),
    /// Says why and closes.
    Close(Closing),
    /// Ends: another connection serves the session now.
    Replaced,
}

pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) player: PlayerId,
    /// The account's session that it logged in with.
    pub(crate) account_session: SessionId,
    /// How often it has come from another gateway.
    pub(super) turn: u64,
    pub(super) wake: Notify,
    state: Mutex<State>,
}

pub(super) struct State {
    stream: Stream<PlayerId>,
    tokens: ResumeTokens,
    /// Counts connections: an older one has nothing to say any more.
    connection: u64,
    /// Unix milliseconds at which the client was last known to live: it spoke, or took what had to wait for it.
    pub(super) alive_ms: u64,
    /// Unix milliseconds at which it was last pinged.
    pub(super) pinged_ms: u64,
    /// Since when no connection serves it.
    pub(super) detached_at_ms: Option<u64>,
    /// Unix milliseconds at which its access token expires.
    pub(super) expires_at_ms: u64,
    pub(super) expiry_told: bool,
    inbox_sent: u64,
    inbox_due: bool,
    refresh_due: bool,
    ping_due: bool,
    closing: Option<Closing>,
    /// The party that the client knows of.
    pub(super) party: Option<(PartyId, u64)>,
    /// Who hears of the player's presence, and whom the player sees; ascending.
    pub(super) watchers: Box<[PlayerId]>,
}

pub(super) struct Opening {
    pub(super) player: PlayerId,
    pub(super) account_session: SessionId,
    pub(super) tokens: ResumeTokens,
    pub(super) expires_at_ms: u64,
    /// What the client has of the inbox, and of ordered messages.
    pub(super) inbox_sent: u64,
    pub(super) last_seq: u64,
    pub(super) turn: u64,
    pub(super) now_ms: u64,
    pub(super) bounds: Bounds,
}

/// What another connection takes a session over with.
pub(super) struct Resume {
    pub(super) shown: ResumeHash,
    /// The token that is offered next.
    pub(super) next: ResumeHash,
    /// What the client has of ordered messages, and of the inbox.
    pub(super) last_seq: u64,
    pub(super) last_inbox: u64,
    pub(super) expires_at_ms: u64,
    pub(super) now_ms: u64,
}

impl Session {
    pub(super) fn open(id: Uuid, opening: &Opening) -> Self {
        let state = State {
            stream: Stream::after(opening.last_seq, opening.bounds),
            tokens: opening.tokens.clone(),
            connection: 1,
            alive_ms: opening.now_ms,
            pinged_ms: 0,
            detached_at_ms: None,
            expires_at_ms: opening.expires_at_ms,
            expiry_told: false,
            inbox_sent: opening.inbox_sent,
            inbox_due: true,
            refresh_due: false,
            ping_due: false,
            closing: None,
            party: None,
            watchers: Box::default(),
        };
        Self {
            id,
            player: opening.player,
            account_session: opening.account_session,
            turn: opening.turn,
            wake: Notify::new(),
            state: Mutex::new(state),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who hears of the player's presence. Whoever tells them takes the locks of their sessions, so this one must not be held
    /// meanwhile, not even as part of the call's arguments.
    pub(super) fn watchers(&self) -> Vec<PlayerId> {
        self.lock().watchers.to_vec()
    }

    /// Another connection takes the session over, all at once: who looks meanwhile whether the client is dead or its token has
    /// expired sees it before or after. Returns the connection's number and whether nothing is missing.
    pub(super) fn resume(&self, resume: &Resume) -> Option<(u64, bool)> {
        let mut state = self.lock();
        if state.closing.is_some_and(|closing| !closing.resume) || !state.tokens.present(resume.shown, resume.next) {
            return None;
        }
        state.connection += 1;
        (state.alive_ms, state.pinged_ms) = (resume.now_ms, 0);
        (state.expires_at_ms, state.expiry_told) = (resume.expires_at_ms, false);
        (state.detached_at_ms, state.closing) = (None, None);
        // What the client has is known better by the client; what it says it has is not sent again.
        state.inbox_sent = resume.last_inbox;
        state.inbox_due = true;
        // What news may have missed.
        state.refresh_due = true;
        let is_whole = state.stream.resume(resume.last_seq);
        let connection = state.connection;
        drop(state);
        // The connection before, if it still waits for something.
        self.wake.notify_waiters();
        Some((connection, is_whole))
    }

    /// The client has said something over this connection. Returns whether that is the first time; `None`: another connection
    /// serves the session.
    pub(super) fn heard(&self, connection: u64, now_ms: u64) -> Option<bool> {
        let mut state = self.lock();
        if state.connection != connection {
            return None;
        }
        state.alive_ms = now_ms;
        Some(state.tokens.confirm())
    }

    /// The client has taken over this connection what had to wait for it.
    pub(super) fn took(&self, connection: u64, now_ms: u64) {
        let mut state = self.lock();
        if state.connection == connection {
            state.alive_ms = now_ms;
        }
    }

    /// What another gateway has to know to go on with it, and how new the tokens are: of two that differ the greater number.
    pub(super) fn note(&self, seen: Option<Seen>) -> (ResumeTokens, u64, Note) {
        let state = self.lock();
        let note = Note {
            player: self.player,
            account_session: self.account_session,
            expires_at_ms: state.expires_at_ms,
            seen: seen.map(|seen| (seen.status.into(), seen.text)),
        };
        let is_confirmed = state.tokens.held() == Some(state.tokens.offered());
        (state.tokens.clone(), state.connection * 2 + u64::from(is_confirmed), note)
    }

    /// A connection has ended.
    pub(super) fn detach(&self, connection: u64, now_ms: u64) {
        let mut state = self.lock();
        if state.connection == connection {
            state.detached_at_ms = Some(now_ms);
        }
    }

    pub(super) fn ack(&self, seq: u64) {
        self.lock().stream.ack(seq);
    }

    /// An ordered message.
    pub(crate) fn push(&self, body: &Body) {
        self.lock().stream.push_ordered(Body::clone(body));
        self.wake.notify_one();
    }

    /// This player is seen in another way.
    pub(crate) fn push_latest(&self, subject: PlayerId) {
        self.lock().stream.push_latest(subject);
        self.wake.notify_one();
    }

    /// Messages of the inbox up to `seq` were handed to this connection; `more` are there. What an older connection was handed
    /// says nothing: it has gone, and the newer one goes on where the client is.
    pub(super) fn inbox_sent(&self, connection: u64, seq: u64, more: bool) {
        let mut state = self.lock();
        if state.connection == connection {
            state.inbox_sent = state.inbox_sent.max(seq);
            state.inbox_due |= more;
        }
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.wake.notify_one();
    }

    /// What this connection does next.
    pub(super) fn due(&self, connection: u64) -> Due {
        let mut state = self.lock();
        if state.connection != connection {
            return Due::Replaced;
        }
        if let Some(closing) = state.closing {
            return Due::Close(closing);
        }
        if std::mem::take(&mut state.ping_due) {
            return Due::Frame(message::ping());
        }
        if std::mem::take(&mut state.refresh_due) {
            return Due::Refresh;
        }
        // A resync goes before all that a client learns of.
        if !state.stream.is_resync_due() && std::mem::take(&mut state.inbox_due) {
            return Due::Inbox(state.inbox_sent);
        }
        match state.stream.pop() {
            None => Due::Nothing,
            Some(Out::Resync) => {
                // The notice may be among what was given up.
                state.expiry_told = false;
                Due::Resync
            }
            Some(Out::Ordered(seq, body)) => Due::Frame(message::numbered(seq, &body)),
            Some(Out::Latest(player)) => Due::Presence(player),
        }
    }
}

impl State {
    pub(super) fn inbox_position(&self) -> u64 {
        self.inbox_sent
    }

    pub(super) fn look_inbox(&mut self) {
        self.inbox_due = true;
    }

    pub(super) fn refresh(&mut self) {
        self.refresh_due = true;
    }

    pub(super) fn ping(&mut self) {
        self.ping_due = true;
    }

    /// What ends the session for good goes before what ends its connection alone.
    pub(super) fn close(&mut self, closing: Closing) {
        if self.closing.is_none_or(|known| known.resume && !closing.resume) {
            self.closing = Some(closing);
        }
    }

    pub(super) fn resync(&mut self) {
        self.stream.resync();
    }

    /// Those around the player are these now: how somebody new is seen is news, and whoever is not among them any more is not seen.
    pub(super) fn watch(&mut self, watchers: Box<[PlayerId]>, is_seen: impl Fn(PlayerId) -> bool) {
        let before = std::mem::replace(&mut self.watchers, watchers);
        for player in before.iter().filter(|player| self.watchers.binary_search(player).is_err()) {
            if self.stream.was_told(*player) {
                self.stream.push_latest(*player);
            }
        }
        for player in self.watchers.iter().filter(|player| before.binary_search(player).is_err()) {
            if is_seen(*player) {
                self.stream.push_latest(*player);
            }
        }
    }

    pub(super) fn push_ordered(&mut self, body: Body) {
        self.stream.push_ordered(body);
    }
}
