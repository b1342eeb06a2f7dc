//! Where the host and the game meet: the book under a lock, and the ways out of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::id::{MatchId, ServerId};
use protocol::token::JoinClaims;
use protocol::wire::Refusal;
use tokio::sync::{mpsc, watch};

use super::book::{Admitted, Book, Fault, Now, PlayerEvent, Submission};
use crate::handshake_worker::{TokenKeys, refusal};
use crate::io_rooms::PlayerNews;
use crate::notice::Notice;
use crate::room_thread::RoomOrder;
use crate::stage::{ResultStep, Stage};

/// The desk. Clones are the same desk.
#[derive(Debug, Clone)]
pub(crate) struct Desk(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    book: Mutex<Book>,
    server_id: ServerId,
    keys: TokenKeys,
    notices: mpsc::UnboundedSender<Notice>,
    players: mpsc::Sender<PlayerNews>,
    /// The book's cursor, for those who wait for a change.
    cursor: watch::Sender<u64>,
    began: Instant,
}

impl Desk {
    pub(crate) fn new(
        book: Book,
        server_id: ServerId,
        keys: TokenKeys,
        notices: mpsc::UnboundedSender<Notice>,
        players: mpsc::Sender<PlayerNews>,
    ) -> Self {
        let cursor = watch::Sender::new(book.cursor());
        Self(Arc::new(Parts {
            book: Mutex::new(book),
            server_id,
            keys,
            notices,
            players,
            cursor,
            began: Instant::now(),
        }))
    }

    /// This incarnation, the audience of join tokens.
    pub(crate) fn server_id(&self) -> ServerId {
        self.0.server_id
    }

    /// The time, by the desk's own clock and the calendar.
    pub(crate) fn now(&self) -> Now {
        let ms = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { ms, unix_ms: service::clock::unix_ms() }
    }

    /// Reads the book.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Book, Now) -> T) -> T {
        read(&self.book(), self.now())
    }

    /// Waits until the book's cursor is another than `seen`.
    pub(crate) async fn changed(&self, seen: u64) {
        // The sender lives in the desk itself.
        let _ = self.0.cursor.subscribe().wait_for(|cursor| *cursor != seen).await;
    }

    /// The game lives; `instance` names its process.
    pub(crate) fn heard(&self, instance: &str) {
        self.act(|book, now| ((), book.heard(instance, now)));
    }

    /// The game is gone for good.
    pub(crate) fn game_gone(&self, why: &str) {
        self.act(|book, now| ((), book.game_gone(why, now)));
    }

    pub(crate) fn joinable(&self, id: MatchId) -> Result<(), Fault> {
        self.try_act(|book, now| book.joinable(id, now).map(|notice| ((), notice)))
    }

    pub(crate) fn refuse(&self, id: MatchId, why: &str) -> Result<(), Fault> {
        self.try_act(|book, _| book.refuse(id, why).map(|notice| ((), Some(notice))))
    }

    /// Who the bearer of a token is, and that it is let in; once per token.
    pub(crate) fn verify(&self, token: &str) -> Result<Admitted, Refusal> {
        let claims = self.0.keys.verify(token, self.0.server_id, service::clock::unix_s()).map_err(refusal);
        let admitted = claims.and_then(|claims: JoinClaims| self.try_act(|book, now| book.admit(&claims, now)));
        match &admitted {
            Ok(_) => crate::metrics::join_accepted_foreign(),
            Err(refusal) => crate::metrics::join_refused(*refusal),
        }
        admitted
    }

    pub(crate) fn player(&self, id: MatchId, player: protocol::id::PlayerId, event: PlayerEvent) -> Result<(), Fault> {
        let news = self.try_act(|book, now| book.player(id, player, event, now))?;
        // News of players are for watchers alone: what the host has no room for is dropped.
        let _ = self.0.players.try_send(news);
        Ok(())
    }

    pub(crate) fn count(&self, id: MatchId, players: u32) -> Result<(), Fault> {
        self.try_act(|book, now| book.count(id, players, now).map(|notice| ((), notice)))
    }

    /// Takes a result, and waits until it is safe, `patience` at most; how far it is then.
    pub(crate) async fn result(
        &self,
        id: MatchId,
        given: Submission,
        patience: Duration,
    ) -> Result<Option<ResultStep>, Fault> {
        let notices = self.act(|book, now| match book.result(id, given, now) {
            Ok(notices) => (Ok(()), notices),
            Err(fault) => (Err(fault), Vec::new()),
        });
        notices?;
        let mut cursor = self.0.cursor.subscribe();
        let safe = async {
            while self.book().result_at(id).is_none() {
                if cursor.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(patience, safe).await;
        Ok(self.book().result_at(id))
    }

    /// Looks at every deadline.
    pub(crate) fn look(&self) {
        self.act(|book, now| ((), book.look(now)));
    }

    fn try_act<T, E>(&self, act: impl FnOnce(&mut Book, Now) -> Result<(T, Option<Notice>), E>) -> Result<T, E> {
        self.act(|book, now| match act(book, now) {
            Ok((done, notice)) => (Ok(done), notice.into_iter().collect()),
            Err(fault) => (Err(fault), Vec::new()),
        })
    }

    /// Does something with the book; its notices leave in the order of the changes.
    fn act<T>(&self, act: impl FnOnce(&mut Book, Now) -> (T, Vec<Notice>)) -> T {
        let mut book = self.book();
        let (done, notices) = act(&mut book, self.now());
        for notice in notices {
            // The host outlives its matches; when it does not, the process is ending.
            let _ = self.0.notices.send(notice);
        }
        let newest = book.cursor();
        self.0.cursor.send_if_modified(|cursor| std::mem::replace(cursor, newest) != newest);
        done
    }

    /// No code panics while it holds the lock, so a poisoned one still holds a whole book.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage for Desk {
    fn start(&self, order: RoomOrder) {
        self.act(|book, now| ((), book.start(order, now).into_iter().collect()));
    }

    fn abort(&self, id: MatchId, reason: &'static str) {
        self.act(|book, now| ((), book.abort(id, reason, now)));
    }

    fn abort_all(&self, reason: &'static str) {
        self.act(|book, now| ((), book.abort_all(reason, now)));
    }

    fn players(&self) -> usize {
        self.book().players()
    }

    fn tick_load_permille(&self) -> u32 {
        0
    }

    fn leaving(&self, reason: &str, within: Option<Duration>) {
        let within_ms = within.map(|within| u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
        self.act(|book, now| {
            book.leave(reason, within_ms, now);
            ((), Vec::new())
        });
    }

    fn result(&self, id: MatchId, step: ResultStep) {
        self.act(|book, _| {
            book.result_step(id, step);
            ((), Vec::new())
        });
    }
}
