//! Group commit for PostgreSQL, for the few use cases that come by the thousand: what has queued while the lanes were busy
//! goes into one statement. Alone, a use case waits for nobody; under load the round trip, the commit and the work of the
//! server are shared by the group.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::error::StoreError;
use crate::metrics;

/// Statements under way at once: one is being written while the disk has the other.
const LANES: usize = 2;
/// Most use cases of one statement.
const GROUP_MAX: usize = 64;
/// Use cases that may wait; those beyond are told to come back.
const QUEUE_MAX: usize = 2_048;

type Outcome<T> = Result<T, StoreError>;
type Run<I, T> = dyn Fn(Vec<I>) -> BoxFuture<'static, Outcome<Vec<T>>> + Send + Sync;

/// The way into the groups; cheap to clone.
pub(crate) struct Lanes<I, T>(Arc<Inner<I, T>>);

struct Inner<I, T> {
    patience: Duration,
    run: Box<Run<I, T>>,
    waiting: Mutex<Waiting<I, T>>,
}

struct Waiting<I, T> {
    queue: VecDeque<(I, oneshot::Sender<Outcome<T>>)>,
    lanes: usize,
}

impl<I, T> Clone for Lanes<I, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I, T> fmt::Debug for Lanes<I, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lanes").finish_non_exhaustive()
    }
}

impl<I: Send + 'static, T: Send + 'static> Lanes<I, T> {
    /// `run` does a group and gives one outcome for each, in their order; its error is everybody's. Nobody waits for longer
    /// than `patience`.
    pub(crate) fn new<F>(patience: Duration, run: F) -> Self
    where
        F: Fn(Vec<I>) -> BoxFuture<'static, Outcome<Vec<T>>> + Send + Sync + 'static,
    {
        let waiting = Mutex::new(Waiting { queue: VecDeque::new(), lanes: 0 });
        Self(Arc::new(Inner { patience, run: Box::new(run), waiting }))
    }

    /// Does it in the next group. It is done to its end even if the caller goes away.
    ///
    /// # Errors
    /// That of the group; [`StoreError::Busy`] if too many wait, [`StoreError::Unknown`] if time is over.
    pub(crate) async fn submit(&self, input: I) -> Outcome<T> {
        let (reply, answer) = oneshot::channel();
        let starts = {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.queue.len() >= QUEUE_MAX {
                return Err(StoreError::Busy);
            }
            waiting.queue.push_back((input, reply));
            let starts = waiting.lanes < LANES;
            waiting.lanes += usize::from(starts);
            starts
        };
        if starts {
            tokio::spawn(lane(Arc::clone(&self.0)));
        }
        match tokio::time::timeout(self.0.patience, answer).await {
            Ok(answered) => answered.unwrap_or_else(|_| Err(StoreError::Unavailable("it was closed".into()))),
            Err(_) => Err(StoreError::Unknown),
        }
    }
}

/// Does groups until nobody waits.
async fn lane<I: Send + 'static, T: Send + 'static>(inner: Arc<Inner<I, T>>) {
    while let Some((inputs, replies)) = inner.next() {
        metrics::database_group(inputs.len());
        let done = AssertUnwindSafe(async { (inner.run)(inputs).await }).catch_unwind().await;
        let done = done.unwrap_or_else(|_| Err(StoreError::Failed("the use case panicked".into())));
        match done {
            Ok(outcomes) => {
                debug_assert_eq!(outcomes.len(), replies.len(), "one outcome for each");
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // Whoever went away has it done all the same.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(error) => replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone())))),
        }
    }
}

type Group<I, T> = (Vec<I>, Vec<oneshot::Sender<Outcome<T>>>);

impl<I, T> Inner<I, T> {
    /// The next group. Nothing if nobody waits: then the lane is closed. Callers that went away before it began are left out.
    fn next(&self) -> Option<Group<I, T>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut inputs, mut replies) = (Vec::new(), Vec::new());
        while inputs.len() < GROUP_MAX
            && let Some((input, reply)) = waiting.queue.pop_front()
        {
            if !reply.is_closed() {
                inputs.push(input);
                replies.push(reply);
            }
        }
        if inputs.is_empty() {
            waiting.lanes -= 1;
            return None;
        }
        Some((inputs, replies))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    const FAILS: u32 = 1_007;
    const PANICS: u32 = 1_008;

    /// Doubles numbers once the gate has a permit, counting groups.
    fn doubling(gate: &Arc<Semaphore>, groups: &Arc<AtomicUsize>) -> Lanes<u32, u32> {
        let (gate, groups) = (Arc::clone(gate), Arc::clone(groups));
        Lanes::new(Duration::from_secs(5), move |numbers: Vec<u32>| {
            let (gate, groups) = (Arc::clone(&gate), Arc::clone(&groups));
            Box::pin(async move {
                gate.acquire().await.expect("never closed").forget();
                groups.fetch_add(1, Ordering::SeqCst);
                assert!(!numbers.contains(&PANICS), "a panic of a group");
                let fault = numbers.contains(&FAILS).then(|| StoreError::Failed("as asked".into()));
                fault.map_or_else(|| Ok(numbers.iter().map(|n| n * 2).collect()), Err)
            })
        })
    }

    async fn until(lanes: &Lanes<u32, u32>, queued: usize, open: usize) {
        loop {
            let now = lanes.0.waiting.lock().map(|waiting| (waiting.queue.len(), waiting.lanes)).expect("sound");
            if now == (queued, open) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_queues_while_the_lanes_are_busy_is_one_group_and_each_gets_its_own() {
        let (gate, groups) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let lanes = doubling(&gate, &groups);
        let all = |numbers: std::ops::Range<u32>| {
            let lanes = lanes.clone();
            tokio::spawn(async move { join_all(numbers.map(|n| lanes.submit(n))).await })
        };
        let first = all(0..1);
        until(&lanes, 0, 1).await;
        let second = all(1..2);
        until(&lanes, 0, 2).await;
        let rest = all(2..22);
        until(&lanes, 20, 2).await;
        gate.add_permits(10);
        let mut outcomes = Vec::new();
        for answers in [first, second, rest] {
            outcomes.extend(answers.await.expect("no panic").into_iter().map(|one| one.expect("done")));
        }
        assert_eq!(outcomes, (0..22).map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(groups.load(Ordering::SeqCst), 3);
        until(&lanes, 0, 0).await;
    }

    #[tokio::test]
    async fn a_group_that_fails_or_panics_tells_its_own_callers_and_the_next_is_done() {
        let (gate, groups) = (Arc::new(Semaphore::new(10)), Arc::new(AtomicUsize::new(0)));
        let lanes = doubling(&gate, &groups);
        let fault = |outcome: Outcome<u32>| outcome.expect_err("it fails").to_string();
        assert_eq!(fault(lanes.submit(FAILS).await), "the database failed: as asked");
        for _ in 0..=LANES {
            assert_eq!(fault(lanes.submit(PANICS).await), "the database failed: the use case panicked");
        }
        assert_eq!(lanes.submit(2).await.expect("done"), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_patience_and_whoever_went_away_in_the_queue_is_left_out() {
        let (gate, groups) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let lanes = doubling(&gate, &groups);
        let submit = |n: u32| {
            let lanes = lanes.clone();
            tokio::spawn(async move { lanes.submit(n).await })
        };
        let mut callers = Vec::new();
        for open in 1..=LANES {
            callers.push(submit(1));
            until(&lanes, 0, open).await;
        }
        callers.extend((0..8).map(submit));
        for caller in callers {
            let outcome = caller.await.expect("no panic");
            assert!(matches!(outcome, Err(StoreError::Unknown)), "{outcome:?}");
        }
        gate.add_permits(10);
        until(&lanes, 0, 0).await;
        assert_eq!(groups.load(Ordering::SeqCst), LANES, "the groups that had begun, and no other");
    }
}
