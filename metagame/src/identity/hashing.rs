//! The pool that hashes passwords: a few threads of low priority with a short queue in front.
//!
//! A hash takes 19 MiB and some 30 ms of a core on purpose. On threads of the runtime a few dozen logins would stall
//! everything else; without a bound they would take all memory. So a full queue is answered at once.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::core::password::{Checked, Password, Workspace, check, hash};
use crate::metrics;
use crate::problem::Problem;

/// Steps of niceness below the threads that answer requests.
const NICENESS: i32 = 10;

/// Size of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashingLimits {
    /// Threads; each keeps 19 MiB.
    pub threads: usize,
    /// Passwords that may wait.
    pub queue: usize,
}

impl Default for HashingLimits {
    /// A thread for each core, and what these do in about 300 ms.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { threads: cores.min(8), queue: cores.min(8) * 8 }
    }
}

/// Hashes and checks passwords; cheap to clone. The threads end with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct Hashing {
    jobs: SyncSender<Job>,
    /// The hash of a password that nobody has: checked where there is no account, so that it takes as long.
    nobody: Arc<str>,
}

struct Job {
    password: Password,
    what: What,
    asked: Instant,
}

enum What {
    Hash([u8; 16], oneshot::Sender<String>),
    Check(Arc<str>, oneshot::Sender<Checked>),
}

impl Hashing {
    /// Starts the threads.
    pub(crate) fn start(limits: HashingLimits) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(limits.queue.max(1));
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..limits.threads.max(1) {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name("hashing".into()).spawn(move || work(&queue))?;
        }
        let password = Password::typed(hex::encode(service::random::bytes::<16>())).expect("32 characters");
        let nobody = hash(&password, service::random::bytes(), &mut Workspace::default()).into();
        Ok(Self { jobs, nobody })
    }

    /// The hash of a new password.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, Problem> {
        let (answer, done) = oneshot::channel();
        self.send(password, What::Hash(service::random::bytes(), answer))?;
        done.await.map_err(|_| Problem::internal())
    }

    /// Checks a password against what is stored; against nobody's, which is always wrong, where nothing is.
    pub(crate) async fn check(&self, password: Password, stored: Option<&str>) -> Result<Checked, Problem> {
        let (answer, done) = oneshot::channel();
        let against = stored.map_or_else(|| Arc::clone(&self.nobody), Arc::from);
        self.send(password, What::Check(against, answer))?;
        let checked = done.await.map_err(|_| Problem::internal())?;
        Ok(if stored.is_some() { checked } else { Checked::Wrong })
    }

    fn send(&self, password: Password, what: What) -> Result<(), Problem> {
        match self.jobs.try_send(Job { password, what, asked: Instant::now() }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                metrics::limited("hashing");
                Err(Problem::unavailable("logins-busy", "too many passwords are being checked; try again", 1))
            }
            Err(TrySendError::Disconnected(_)) => Err(Problem::internal()),
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    // Only a courtesy to the other threads: where it is refused, hashing works all the same.
    let _ = rustix::process::setpriority_process(Some(thread_id()), NICENESS);
    let mut workspace = Workspace::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { password, what, asked }) = next else { return };
        metrics::hashing_wait(asked.elapsed());
        // Whoever has gone needs no answer: sending fails, or is not tried.
        match what {
            What::Hash(salt, answer) if !answer.is_closed() => {
                let _ = answer.send(hash(&password, salt, &mut workspace));
            }
            What::Check(stored, answer) if !answer.is_closed() => {
                let _ = answer.send(check(&password, &stored, &mut workspace));
            }
            What::Hash(..) | What::Check(..) => {}
        }
    }
}

/// On Linux a priority belongs to a thread.
fn thread_id() -> rustix::process::Pid {
    rustix::thread::gettid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Password {
        Password::typed(text.to_owned()).expect("short enough")
    }

    #[tokio::test]
    async fn the_pool_hashes_and_checks_and_nobody_has_no_password() {
        let pool = Hashing::start(HashingLimits { threads: 2, queue: 4 }).expect("threads");
        let stored = pool.hash(typed("tenacious")).await.expect("a hash");
        assert_eq!(pool.check(typed("tenacious"), Some(&stored)).await.expect("checked"), Checked::Right);
        assert_eq!(pool.check(typed("tenacioux"), Some(&stored)).await.expect("checked"), Checked::Wrong);
        assert_eq!(pool.check(typed("tenacious"), None).await.expect("checked"), Checked::Wrong);
    }

    #[test]
    fn a_full_queue_is_answered_at_once() {
        // A queue without threads never empties.
        let (jobs, _queue) = sync_channel(2);
        let pool = Hashing { jobs, nobody: "".into() };
        let check = || pool.send(typed("tenacious"), What::Hash([0; 16], oneshot::channel().0));
        assert!(check().is_ok() && check().is_ok());
        assert!(check().is_err(), "the third finds no place");
    }

    #[tokio::test]
    async fn nobody_is_checked_as_long_as_somebody() {
        // Not timed: both go through the same derivation with the same costs.
        let pool = Hashing::start(HashingLimits { threads: 1, queue: 1 }).expect("threads");
        assert!(pool.nobody.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", pool.nobody);
    }
}
