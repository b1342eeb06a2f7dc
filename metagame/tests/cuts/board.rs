//! What those who listen and those who speak know of each other.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::pb;
use tokio::sync::watch;

/// How a player is seen.
pub(crate) type Seen = (pb::GatewayStatus, String);

/// What everyone has heard in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goal {
    /// Number of the last ordered message.
    pub(crate) ordered: u64,
    /// Number of the last durable one.
    pub(crate) durable: u64,
    /// How the player is seen last whom all watch.
    pub(crate) presence: Seen,
}

pub(crate) struct Board {
    /// Whom everyone watches.
    pub(crate) watched: String,
    cuts: AtomicU64,
    /// Numbers of the durable messages, by the match that they tell of.
    matches: Mutex<HashMap<String, u64>>,
    /// How far each has heard the ordered messages.
    heard: Vec<watch::Sender<u64>>,
    /// Ears that have a session.
    arrived: watch::Sender<usize>,
    goal: watch::Sender<Option<Goal>>,
}

impl Board {
    pub(crate) fn new(watched: String, ears: usize) -> Self {
        let heard = (0..ears).map(|_| watch::Sender::new(0)).collect();
        let (cuts, arrived, goal) = (AtomicU64::new(0), watch::Sender::new(0), watch::Sender::new(None));
        Self { watched, cuts, matches: Mutex::default(), heard, arrived, goal }
    }

    pub(crate) fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    pub(crate) fn number_match(&self, match_id: String, number: u64) {
        self.matches.lock().expect("no panic under the lock").insert(match_id, number);
    }

    pub(crate) fn match_number(&self, match_id: &str) -> u64 {
        self.matches.lock().expect("no panic under the lock")[match_id]
    }

    pub(crate) fn arrive(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
    }

    /// Waits until everyone has a session.
    pub(crate) async fn all_arrived(&self) {
        let mut arrived = self.arrived.subscribe();
        let waited =
            tokio::time::timeout(testkit::wait::PATIENCE, arrived.wait_for(|count| *count >= self.heard.len()));
        assert!(waited.await.is_ok(), "not everyone gets a session");
    }

    pub(crate) fn heard(&self, ear: usize, number: u64) {
        self.heard[ear].send_replace(number);
    }

    /// Waits until everyone has heard this one.
    pub(crate) async fn all_heard(&self, number: u64) {
        for (ear, heard) in self.heard.iter().enumerate() {
            let mut heard = heard.subscribe();
            let waited = tokio::time::timeout(testkit::wait::PATIENCE, heard.wait_for(|at| *at >= number)).await;
            assert!(waited.is_ok(), "ear {ear} does not hear number {number}");
        }
    }

    pub(crate) fn set_goal(&self, goal: Goal) {
        self.goal.send_replace(Some(goal));
    }

    pub(crate) fn goal(&self) -> watch::Receiver<Option<Goal>> {
        self.goal.subscribe()
    }
}
