//! The server's life in Agones: into the warm pool, busy, back, and the end; and the health that is sent meanwhile.
//!
//! ```text
//! Scheduled ──► Reserved ◄──► Allocated ──► Shutdown
//!                  │ 10 min without an allocator, and back with the next one
//!                  ▼
//!                Ready
//! ```
//! The host says what it wants; one task asks the SDK for it until it is observed. Without Agones the SDK client plays
//! by itself: every wish shows at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agones::sdk::HealthTask;
use agones::{HealthGate, Observed, Sdk, SdkError, State};
use service::backoff::Backoff;
use tokio::sync::watch;

/// Waits between two tries of a write that the SDK gave back; its own repetitions come before.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often health is sent: Agones' shortest sensible period is some seconds.
pub(crate) const HEALTH_PERIOD: Duration = Duration::from_secs(1);

/// What the host wants this server to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Idle in Muster's pool: Reserved.
    Pool,
    /// Hosting a match: Allocated.
    Busy,
    /// Idle and out of the pool: Ready, so that Agones may do with it what it likes.
    Out,
    /// Over: Shutdown.
    End,
}

/// Whether `observed` already is what is wanted.
pub fn is_reached(want: Want, observed: Option<State>) -> bool {
    let state = match want {
        Want::Pool => State::Reserved,
        Want::Busy => State::Allocated,
        Want::Out => State::Ready,
        Want::End => return observed.is_some_and(State::is_final),
    };
    observed == Some(state)
}

/// Why the observed state forbids a new match, if it does. That an Allocated server has room is the arbiter's to say.
pub fn closed(observed: Option<&Observed>) -> Option<String> {
    let Some(server) = observed else { return Some("the Agones SDK server has not answered yet".into()) };
    match server.state {
        _ if server.deleting => Some("the GameServer is being deleted".into()),
        State::Reserved | State::Allocated => None,
        other => Some(format!("the GameServer is {other}")),
    }
}

/// The state as last observed; `None` before the SDK server has answered.
pub fn state(observed: &watch::Receiver<Option<Observed>>) -> Option<State> {
    observed.borrow().as_ref().map(|server| server.state)
}

/// Asks the SDK for what is wanted, whenever that changes and until it is seen. Ends when the host drops its side.
pub async fn follow(sdk: Sdk, mut wants: watch::Receiver<Want>) {
    let mut observed = sdk.observed();
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    loop {
        let want = *wants.borrow_and_update();
        let is_over = observed.borrow_and_update().as_ref().is_some_and(Observed::is_over);
        if is_over || is_reached(want, state(&observed)) {
            backoff.reset();
            // Either may change: a state that was reached can be lost again.
            tokio::select! {
                changed = wants.changed() => if changed.is_err() { return },
                changed = observed.changed() => if changed.is_err() { return },
            }
            continue;
        }
        let answer = tokio::select! {
            answer = ask(&sdk, want, state(&observed)) => answer,
            changed = wants.changed() => if changed.is_err() { return } else { continue },
        };
        if let Err(error) = answer {
            tracing::warn!(?want, %error, "Agones does not do as this server wants; trying again");
        }
        let pause = backoff.next(u64::from_le_bytes(service::random::bytes()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = wants.changed() => if changed.is_err() { return },
        }
    }
}

async fn ask(sdk: &Sdk, want: Want, observed: Option<State>) -> Result<(), SdkError> {
    match want {
        // The host wants the pool only while it hosts nothing, so taking the server out of Allocated frees no match.
        Want::Pool if observed == Some(State::Allocated) => sdk.free().await,
        Want::Pool => sdk.reserve_until_observed(0).await,
        Want::Busy => sdk.allocate_until_observed().await,
        Want::Out => sdk.ready().await,
        Want::End => sdk.shutdown().await,
    }
}

/// What must move for the process to count as alive.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<std::sync::Mutex<Vec<Beat>>>);

#[derive(Debug)]
struct Beat {
    counter: Arc<AtomicU64>,
    /// Value at the last look.
    last: Option<u64>,
}

impl Pulse {
    /// A counter that moves several times a second as long as its owner lives; it stops counting when its owner has
    /// dropped it.
    pub fn add(&self, counter: &Arc<AtomicU64>) {
        self.lock().push(Beat { counter: counter.clone(), last: None });
    }

    /// Whether everything has moved since the last look. What has ended is forgotten, what is new is given time.
    pub fn is_alive(&self) -> bool {
        let mut beats = self.lock();
        beats.retain(|beat| Arc::strong_count(&beat.counter) > 1);
        let mut alive = true;
        for beat in beats.iter_mut() {
            let count = beat.counter.load(Ordering::Relaxed);
            alive &= beat.last.replace(count) != Some(count);
        }
        alive
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Beat>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Sends health pings while every counter of `pulse` moves; dropping the task ends them.
pub fn start_health(sdk: &Sdk, pulse: Pulse) -> HealthTask {
    sdk.start_health(HEALTH_PERIOD, HealthGate::new(move || pulse.is_alive()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pulse_stops_when_one_room_stands_still_and_forgets_ended_ones() {
        let pulse = Pulse::default();
        let (io, room) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        pulse.add(&io);
        pulse.add(&room);
        assert!(pulse.is_alive(), "new ones are given time");
        io.fetch_add(1, Ordering::Relaxed);
        assert!(!pulse.is_alive(), "the room stands still");
        io.fetch_add(1, Ordering::Relaxed);
        room.fetch_add(1, Ordering::Relaxed);
        assert!(pulse.is_alive());
        drop(room);
        io.fetch_add(1, Ordering::Relaxed);
        assert!(pulse.is_alive(), "an ended room is no dead room");
        assert!(!pulse.is_alive());
    }

    #[tokio::test]
    async fn what_the_host_wants_is_reached_and_only_pool_states_take_matches() {
        let sdk = Sdk::alone("server");
        let mut observed = sdk.observed();
        assert!(closed(observed.borrow().as_ref()).is_some_and(|why| why.contains("Scheduled")));
        let (want, wants) = watch::channel(Want::Pool);
        let task = tokio::spawn(follow(sdk, wants));
        for (wanted, open) in [
            (Want::Pool, true),
            (Want::Busy, true),
            (Want::Pool, true),
            (Want::Out, false),
            (Want::Pool, true),
            (Want::End, false),
        ] {
            want.send_replace(wanted);
            let reached = observed.wait_for(|server| is_reached(wanted, server.as_ref().map(|server| server.state)));
            let server = reached.await.expect("the SDK client lives").clone();
            assert_eq!(closed(server.as_ref()).is_none(), open, "{wanted:?}");
        }
        drop(want);
        task.await.expect("no panic");
        assert!(closed(None).is_some());
    }
}
