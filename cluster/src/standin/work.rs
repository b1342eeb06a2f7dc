//! Which objects to look at next: each one by one task at a time, many side by side, failed ones again a little later.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::core::object::{Kind, Object};
use super::error::StandinError;

/// Looks side by side at most, as Agones creates.
const SIDE_BY_SIDE_MAX: usize = 16;
/// After a conflict: the watch brings the newer version within this time.
const AGAIN_AFTER_CONFLICT: Duration = Duration::from_millis(20);
/// After any other failure.
const AGAIN_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// One object to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn of(kind: Kind, object: &Object) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self { kind, namespace: text(&object.metadata.namespace), name: text(&object.metadata.name) }
    }

    /// Before every key of this kind and namespace.
    pub(super) fn first(kind: Kind, namespace: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: String::new() }
    }
}

/// What a look leaves to do: nothing, or another look after a time.
pub(super) type Looked = Result<Option<Duration>, StandinError>;

/// A key and how long its look may wait: what changes often is looked at once for many changes.
pub(super) type News = (Key, Duration);

/// Keys by the time at which they are due; each at most once, at its earliest time.
#[derive(Debug, Default)]
struct Agenda {
    times: BTreeMap<Key, Instant>,
    order: BTreeSet<(Instant, Key)>,
}

impl Agenda {
    fn add(&mut self, key: Key, at: Instant) {
        match self.times.get(&key) {
            Some(known) if *known <= at => return,
            Some(later) => drop(self.order.remove(&(*later, key.clone()))),
            None => {}
        }
        self.times.insert(key.clone(), at);
        self.order.insert((at, key));
    }

    /// The first key that is not running, and when it is due.
    fn first(&self, running: &BTreeSet<Key>) -> Option<(Instant, Key)> {
        self.order.iter().find(|(_, key)| !running.contains(key)).cloned()
    }

    fn remove(&mut self, at: Instant, key: &Key) {
        self.times.remove(key);
        self.order.remove(&(at, key.clone()));
    }
}

/// Runs `look` for every key that arrives, until `stop`.
pub(super) async fn run<F>(mut news: mpsc::UnboundedReceiver<News>, stop: CancellationToken, look: impl Fn(Key) -> F)
where
    F: Future<Output = Looked> + Send + 'static,
{
    let (mut agenda, mut running, mut tasks) = (Agenda::default(), BTreeSet::<Key>::new(), JoinSet::new());
    loop {
        let mut next = agenda.first(&running);
        while let Some((at, key)) = next.take_if(|(at, _)| *at <= Instant::now() && running.len() < SIDE_BY_SIDE_MAX) {
            agenda.remove(at, &key);
            running.insert(key.clone());
            let looking = look(key.clone());
            tasks.spawn(async move { (key, looking.await) });
            next = agenda.first(&running);
        }
        let wake = next.map(|(at, _)| at).filter(|_| running.len() < SIDE_BY_SIDE_MAX);
        tokio::select! {
            () = stop.cancelled() => return,
            arrived = news.recv() => match arrived {
                Some((key, wait)) => agenda.add(key, Instant::now() + wait),
                None => return,
            },
            Some(Ok((key, looked))) = tasks.join_next(), if !tasks.is_empty() => {
                running.remove(&key);
                if let Some(after) = again(&key, looked) {
                    agenda.add(key, Instant::now() + after);
                }
            }
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
    }
}

fn again(key: &Key, looked: Looked) -> Option<Duration> {
    match looked {
        Ok(after) => after,
        Err(error) if error.is_overtaken() => Some(AGAIN_AFTER_CONFLICT),
        Err(error) => {
            tracing::warn!(kind = key.kind.name(), namespace = key.namespace, name = key.name, %error, "tried again");
            Some(AGAIN_AFTER_FAILURE)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    fn key(name: &str) -> Key {
        Key { name: name.to_owned(), ..Key::first(Kind::Server, "n") }
    }

    /// Asks for ten more looks at one key during each of its looks.
    #[tokio::test]
    async fn a_key_is_looked_at_by_one_task_at_a_time_and_again_after_what_came_meanwhile() {
        let (send, news) = mpsc::unbounded_channel();
        let (stop, busy, looks) =
            (CancellationToken::new(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        send.send((key("a"), Duration::ZERO)).unwrap();
        let (stopping, counted) = (stop.clone(), looks.clone());
        run(news, stop, move |key| {
            let (send, stop, busy, looks) = (send.clone(), stopping.clone(), busy.clone(), counted.clone());
            async move {
                assert!(!busy.swap(true, Ordering::SeqCst), "two tasks look at {key:?}");
                (0..10).for_each(|_| send.send((key.clone(), Duration::ZERO)).unwrap());
                tokio::task::yield_now().await;
                busy.store(false, Ordering::SeqCst);
                if looks.fetch_add(1, Ordering::SeqCst) == 4 {
                    stop.cancel();
                }
                Ok(None)
            }
        })
        .await;
        assert!(looks.load(Ordering::SeqCst) >= 5, "news during a look asks for another one");
    }

    #[test]
    fn a_key_keeps_its_earliest_time() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        let at = |ms| now + Duration::from_millis(ms);
        for (name, ms) in [("a", 50), ("b", 30), ("a", 90), ("a", 10)] {
            agenda.add(key(name), at(ms));
        }
        assert_eq!(agenda.first(&BTreeSet::new()), Some((at(10), key("a"))));
        assert_eq!(agenda.first(&BTreeSet::from([key("a")])), Some((at(30), key("b"))));
        agenda.remove(at(10), &key("a"));
        assert_eq!((agenda.times.len(), agenda.order.len()), (1, 1));
    }

    #[tokio::test]
    async fn a_look_may_ask_for_another_one_and_a_failed_one_gets_it() {
        let (send, news) = mpsc::unbounded_channel();
        let (stop, looks) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
        send.send((key("a"), Duration::ZERO)).unwrap();
        let (stopping, counted) = (stop.clone(), looks.clone());
        run(news, stop, move |_| {
            let (stop, looks) = (stopping.clone(), counted.clone());
            async move {
                match looks.fetch_add(1, Ordering::SeqCst) {
                    0 => Ok(Some(Duration::from_millis(1))),
                    1 => Err(StandinError::NoPort(1, 1)),
                    _ => {
                        stop.cancel();
                        Ok(None)
                    }
                }
            }
        })
        .await;
        assert_eq!(looks.load(Ordering::SeqCst), 3);
    }
}
