//! Epochs that servers have obeyed and the Lease has forgotten, because somebody deleted it while no replica ran that knew.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster::lease::{Epoch, Leadership};
use tokio::time::Instant;

/// How far above its own a leader believes: more than a Lease that was deleted now and then has come to, and far below where
/// its count of 31 bits ends.
const BELIEVED_MAX: u64 = 100_000_000;
/// A later epoch is taken at most this often: each ends a leadership, and a server that says anything must not end all.
const TAKEN_EVERY: Duration = Duration::from_secs(60);

/// Takes the Lease anew where a server has obeyed a later leader than this one. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Epochs {
    leadership: Leadership,
    taken: Arc<Mutex<Option<Instant>>>,
}

impl std::fmt::Debug for Epochs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epochs").finish_non_exhaustive()
    }
}

impl Epochs {
    pub(crate) fn new(leadership: Leadership) -> Self {
        Self { leadership, taken: Arc::default() }
    }

    /// A server has obeyed this epoch, one more than the Lease's count, and this replica leads in a lower one.
    pub(crate) fn obeyed(&self, obeyed: u64) {
        let Some(Epoch(transitions)) = self.leadership.epoch() else { return };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if !believes(transitions + 1, obeyed, taken.map(|at| at.elapsed())) {
            return;
        }
        *taken = Some(Instant::now());
        tracing::warn!(obeyed, epoch = transitions + 1, "the Lease was deleted: a later epoch is taken");
        // Servers count one more than the Lease, whose next count is then what they have obeyed, and their next epoch above it.
        self.leadership.learn(Epoch(obeyed - 1));
    }
}

/// Whether a leader of `epoch` takes a later one because a server says that it has obeyed `obeyed`.
fn believes(epoch: u64, obeyed: u64, last: Option<Duration>) -> bool {
    obeyed > epoch && obeyed - epoch <= BELIEVED_MAX && last.is_none_or(|ago| ago >= TAKEN_EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_epoch_is_believed_unless_it_is_absurd_or_comes_too_often() {
        assert!(believes(2, 9, None));
        assert!(!believes(9, 9, None), "its own");
        assert!(!believes(2, u64::MAX, None));
        assert!(!believes(2, 9, Some(Duration::from_secs(59))));
        assert!(believes(2, 9, Some(Duration::from_secs(60))));
    }
}
