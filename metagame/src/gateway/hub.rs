//! The sessions of this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::id::PlayerId;
use protocol::pb::gateway_envelope::Body;
use protocol::pb::{self, GatewayStatus};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::fanout::News;
use super::presence::{PRESENCE_LIFE_MS, Presences, Seen};
use super::rooms::Rooms;
use super::session::{Closing, Opening, Session};
use super::settings::GatewaySettings;
use crate::core::gateway::stream::Body as Encoded;
use crate::metrics;

/// What ends a session that makes room for a newer one of the same player.
const REPLACED: Closing = Closing { reason: "replaced", resume: false, retry_after_ms: 0 };
/// What ends the sessions of a player that may not go on.
pub(super) const ENDED: Closing = Closing { reason: "ended", resume: false, retry_after_ms: 0 };

pub(crate) struct Hub {
    pub(crate) settings: GatewaySettings,
    pub(crate) presences: Presences,
    pub(crate) rooms: Rooms,
    /// Places of connections.
    pub(crate) places: Arc<Semaphore>,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    sessions: HashMap<Uuid, Arc<Session>>,
    players: HashMap<PlayerId, Vec<Arc<Session>>>,
}

impl Hub {
    pub(crate) fn new(settings: GatewaySettings) -> Self {
        let places = Arc::new(Semaphore::new(settings.sockets_max.min(Semaphore::MAX_PERMITS)));
        Self { settings, presences: Presences::default(), rooms: Rooms::default(), places, tables: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new session; the player's oldest makes room where it has too many, and is returned.
    pub(super) fn open(&self, id: Uuid, opening: &Opening) -> (Arc<Session>, Vec<Arc<Session>>) {
        let session = Arc::new(Session::open(id, opening));
        let mut tables = self.lock();
        tables.sessions.insert(id, Arc::clone(&session));
        let own = tables.players.entry(opening.player).or_default();
        own.push(Arc::clone(&session));
        let over = own.len().saturating_sub(self.settings.sessions_per_player_max.max(1));
        let oldest: Vec<_> = own.drain(..over).collect();
        for one in &oldest {
            tables.sessions.remove(&one.id);
            one.set(|state| state.close(REPLACED));
        }
        metrics::gateway_sessions(tables.sessions.len());
        (session, oldest)
    }

    /// A session goes on elsewhere: nobody is told that anybody has gone.
    pub(super) fn let_go(&self, session: &Session) {
        self.remove(session);
        session.set(|state| state.close(REPLACED));
    }

    /// The session of this id.
    pub(super) fn find(&self, id: Uuid) -> Option<Arc<Session>> {
        self.lock().sessions.get(&id).cloned()
    }

    /// The sessions of a player.
    pub(crate) fn of(&self, player: PlayerId) -> Vec<Arc<Session>> {
        self.lock().players.get(&player).cloned().unwrap_or_default()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.lock().sessions.values().cloned().collect()
    }

    /// A session is over.
    pub(super) fn remove(&self, session: &Session) {
        let mut tables = self.lock();
        // It may have gone elsewhere and come back meanwhile, as another one of the same id.
        if tables.sessions.get(&session.id).is_some_and(|known| std::ptr::eq(&**known, session)) {
            tables.sessions.remove(&session.id);
        }
        if let Some(own) = tables.players.get_mut(&session.player) {
            own.retain(|one| !std::ptr::eq(&**one, session));
            if own.is_empty() {
                tables.players.remove(&session.player);
            }
        }
        metrics::gateway_sessions(tables.sessions.len());
    }

    /// Hands an ordered message to all sessions of these players.
    pub(crate) fn deliver(&self, to: &[PlayerId], body: &Encoded) {
        let tables = self.lock();
        for session in to.iter().filter_map(|player| tables.players.get(player)).flatten() {
            session.push(body);
        }
    }

    /// Takes news in.
    pub(crate) fn take(&self, news: &News) {
        let each = |players: &[PlayerId], what: fn(&mut super::session::State)| {
            for player in players {
                self.of(*player).iter().for_each(|session| session.set(what));
            }
        };
        match news {
            News::Refresh(players) => each(players, super::session::State::refresh),
            News::Inbox(players) => each(players, super::session::State::look_inbox),
            News::Deliver { to, body } => self.deliver(to, &body.as_slice().into()),
            News::Moved { session, turn } => {
                if let Some(session) = self.find(*session).filter(|own| own.turn < *turn) {
                    self.let_go(&session);
                }
            }
            News::Room { room, text } => self.rooms.say(room, text),
            News::Presence { player, status, text, to } => self.see(*player, *status, text, to),
        }
    }

    fn see(&self, player: PlayerId, status: i32, text: &str, to: &[PlayerId]) {
        let seen = Seen {
            status: GatewayStatus::try_from(status).unwrap_or(GatewayStatus::Online),
            text: text.to_owned(),
            until_ms: service::clock::unix_ms() + PRESENCE_LIFE_MS,
        };
        // Before anybody is told, who then looks it up.
        self.presences.set(player, seen);
        let tables = self.lock();
        for session in to.iter().filter_map(|watcher| tables.players.get(watcher)).flatten() {
            session.push_latest(player);
        }
    }
}

/// How a player is seen, as a message; `None`: it is not.
pub(super) fn presence(player: PlayerId, seen: Option<Seen>) -> Body {
    let (status, text) = seen.map_or((GatewayStatus::Offline, String::new()), |seen| (seen.status, seen.text));
    Body::Presence(pb::GatewayPresence { player_id: player.to_string(), status: status.into(), text })
}
