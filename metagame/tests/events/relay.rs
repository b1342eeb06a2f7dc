//! What a relay does with a sink that is killed in between, is gone, or has two relays.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, pending};
use metagame::core::event::Event;
use metagame::events::{Handed, Sink, SinkFault};
use serde_json::Value;
use testkit::wait::until;
use tokio::task::JoinSet;

use super::hands::{assert_in_order, backlog, first_times, give, player, run, told};
use super::stores::Keep;

/// A sink that keeps what it is handed, and does what a test says.
#[derive(Default)]
pub(crate) struct Fake {
    seen: Mutex<Vec<Value>>,
    /// So often it takes events and never says so.
    hangs: AtomicU32,
    /// It takes nothing.
    is_gone: AtomicBool,
    /// How often it was asked while it was gone.
    asked: AtomicU32,
    /// Somebody hands it something now.
    is_busy: AtomicBool,
    /// Two did at once.
    met: AtomicBool,
}

impl Fake {
    fn seen(&self) -> Vec<Value> {
        self.seen.lock().expect("whole").clone()
    }

    fn has(&self, count: usize) -> Option<()> {
        (first_times(&self.seen()).len() >= count).then_some(())
    }
}

/// While it is there somebody hands something; also if that one is killed meanwhile.
struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Sink for Fake {
    fn hand<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Handed> {
        Box::pin(async move {
            if self.is_gone.load(Ordering::SeqCst) {
                self.asked.fetch_add(1, Ordering::SeqCst);
                return Handed::none(SinkFault::Away("the test says so".into()));
            }
            if self.is_busy.swap(true, Ordering::SeqCst) {
                self.met.store(true, Ordering::SeqCst);
            }
            let busy = Busy(&self.is_busy);
            tokio::task::yield_now().await;
            let bodies = events.iter().map(|event| event.cloud_event("/test"));
            let bodies: Vec<Value> = bodies.map(|body| serde_json::from_str(&body).expect("JSON")).collect();
            self.seen.lock().expect("whole").extend(bodies);
            drop(busy);
            if self.hangs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                pending::<()>().await;
            }
            Handed::all(events)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_in_the_middle_of_a_batch_loses_nothing_and_repeats_it_under_the_same_ids() {
    for (store, _keep) in told().await {
        let ada = player(&store, 1).await;
        for n in 1..=30 {
            give(&store, ada, n).await;
        }
        let fake = Arc::new(Fake { hangs: 1.into(), ..Fake::default() });
        let killed = run(&store, fake.clone());
        until("the sink has a batch", async || fake.has(31)).await;
        assert_eq!(backlog(&store).await.pending, 31, "nobody has acknowledged it");
        drop(killed);
        // With a SQLite file the next one begins at once; on PostgreSQL when the hold is over.
        let _next = run(&store, fake.clone());
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        let seen = fake.seen();
        assert_eq!((seen.len(), first_times(&seen).len()), (62, 31), "each twice, and known by its id");
        assert_eq!(seen[..31], seen[31..], "to the last byte");
        assert_in_order(&seen, &[ada], 30);
        assert_eq!(backlog(&store).await.taken, 31);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_gone_keeps_nobody_waiting_and_gets_everything_afterwards() {
    for (store, _keep) in told().await {
        let fake = Arc::new(Fake { is_gone: true.into(), ..Fake::default() });
        let _relay = run(&store, fake.clone());
        let ada = player(&store, 1).await;
        until("it was asked in vain", async || (fake.asked.load(Ordering::SeqCst) > 0).then_some(())).await;
        for n in 1..=250 {
            give(&store, ada, n).await;
        }
        let behind = backlog(&store).await;
        assert_eq!((behind.pending, behind.taken, fake.seen().len()), (251, 0, 0), "it waits in the outbox");
        assert_eq!(behind.oldest_at_ms, Some(super::hands::NOW));
        fake.is_gone.store(false, Ordering::SeqCst);
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        assert_in_order(&fake.seen(), &[ada], 250);
        assert_eq!(fake.seen().len(), 251, "more than a batch, and each once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_instances_one_relays_at_a_time_and_the_order_of_each_player_holds() {
    const EACH: u64 = 40;
    for (store, keep) in told().await {
        if matches!(keep, Keep::Folder(_)) {
            // A SQLite file has one instance.
            continue;
        }
        let other = keep.open().await;
        let mut players = Vec::new();
        for n in 1..=6 {
            players.push(player(&store, n).await);
        }
        let fake = Arc::new(Fake::default());
        let mut relays = vec![run(&store, fake.clone()), run(&other, fake.clone())];
        let mut givers = JoinSet::new();
        for (at, player) in players.iter().copied().enumerate() {
            let store = if at % 2 == 0 { store.clone() } else { other.clone() };
            givers.spawn(async move {
                for n in 1..=EACH {
                    give(&store, player, n).await;
                }
            });
        }
        until("some are taken", async || fake.has(40)).await;
        // Whichever relays, after the second kill it was this one.
        drop(relays.remove(0));
        givers.join_all().await;
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        relays.push(run(&store, fake.clone()));
        drop(relays.remove(0));
        for player in &players {
            give(&store, *player, EACH + 1).await;
        }
        until("the rest is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        assert_in_order(&fake.seen(), &players, EACH + 1);
        assert!(!fake.met.load(Ordering::SeqCst), "two relayed at once");
    }
}
