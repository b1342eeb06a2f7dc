//! A leadership: one actor with a core of its own, and everything that ends with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::lease::Leadership;
use service::Shutdown;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::actor::{Actor, COMMANDS_MAX};
use crate::client::ActorClient;
use crate::core::cluster::ClusterPicture;
use crate::core::settings::{Limits, Timing};
use crate::core::state::{Core, CoreSettings};
use crate::follow::Pictures;
use crate::kubernetes::leader_address;
use crate::mint::Mint;

/// One leadership, as services see it.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) actor: ActorClient,
    /// Cursor of the newest event.
    pub(crate) newest: watch::Receiver<u64>,
    pub(crate) pictures: Pictures,
    /// Cancelled when the leadership is over: every stream ends.
    pub(crate) end: CancellationToken,
}

/// What every leadership of this process has in common.
#[derive(Debug, Clone)]
pub(crate) struct TermSettings {
    pub(crate) mint: Mint,
    pub(crate) timing: Timing,
    pub(crate) limits: Limits,
}

/// What a leadership knows of the servers there are.
#[derive(Debug)]
pub(crate) enum Surroundings {
    /// What the local provider says, if there is one.
    Machine(Option<watch::Receiver<BTreeSet<String>>>),
    /// What the cluster shows.
    Cluster(watch::Receiver<Arc<ClusterPicture>>),
}

impl TermSettings {
    /// Begins a leadership. It ends at shutdown, with time for calls that wait; aborting its task ends it at once.
    pub(crate) fn begin(&self, epoch: u64, around: Surroundings, shutdown: Shutdown) -> (Term, JoinHandle<()>) {
        let (expected, cluster) = match around {
            Surroundings::Machine(expected) => (expected, None),
            Surroundings::Cluster(mut cluster) => {
                // The actor looks at it first of all.
                cluster.mark_changed();
                (None, Some(cluster))
            }
        };
        let names = match (&expected, &cluster) {
            (_, Some(cluster)) => Some(cluster.borrow().expected()),
            (expected, None) => expected.as_ref().map(|names| names.borrow().clone()),
        };
        let core = Core::new(CoreSettings {
            epoch,
            log_id: hex::encode(service::random::bytes::<16>()),
            expected: names,
            timing: self.timing.clone(),
            limits: self.limits.clone(),
        });
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let (newest, newest_seen) = watch::channel(0);
        let (pictures, _) = watch::channel(Arc::default());
        let actor = Actor::new(core, epoch, self.timing.clone(), self.mint.clone(), newest, pictures.clone());
        let end = CancellationToken::new();
        let (over, actor) = (end.clone().drop_guard(), actor.run(received, expected, cluster, shutdown));
        let task = tokio::spawn(async move {
            // Dropped with the task, however it ends.
            let _over = over;
            actor.await;
        });
        (Term { actor: ActorClient::new(commands), newest: newest_seen, pictures, end }, task)
    }
}

/// Whether this process leads.
#[derive(Clone)]
pub(crate) enum Office {
    /// It does.
    Leads(Term),
    /// Another replica does, or will.
    Follows(Leadership),
}

/// Who is in office, as services see it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OfficeSeen(pub(crate) watch::Receiver<Office>);

impl std::fmt::Debug for OfficeSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OfficeSeen").field("leads", &self.term().is_ok()).finish()
    }
}

impl OfficeSeen {
    /// The leadership that stands.
    ///
    /// # Errors
    /// The answer NotLeader, with the leader's address where it is known.
    pub(crate) fn term(&self) -> Result<Term, Status> {
        match &*self.0.borrow() {
            Office::Leads(term) => Ok(term.clone()),
            Office::Follows(leadership) => {
                let holder = leadership.holder();
                Err(service::leader::not_leader(holder.as_deref().and_then(leader_address)))
            }
        }
    }
}
