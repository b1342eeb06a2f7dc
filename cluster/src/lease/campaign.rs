//! Carries an [`Election`] out against the API server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Election, Epoch, Record, Step, Timing, metrics};

/// Which Lease, and as whom.
#[derive(Debug, Clone)]
pub struct Candidacy {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// This process, unlike every other and unlike its predecessors: pod name and a number made at its start.
    pub me: String,
    /// How long things take.
    pub timing: Timing,
}

/// Whether this process leads. Cheap to clone and to ask.
#[derive(Clone)]
pub struct Leadership {
    election: Arc<Mutex<Election>>,
    started: tokio::time::Instant,
    changes: watch::Receiver<Option<Epoch>>,
}

impl Leadership {
    /// The epoch in which this process leads at this very moment. Ask before every write; the answer may have ended by
    /// itself since [`Self::changed`] spoke.
    pub fn epoch(&self) -> Option<Epoch> {
        lock(&self.election).leads(self.started.elapsed())
    }

    /// Who holds the Lease, as last seen; for the answer NotLeader.
    pub fn holder(&self) -> Option<String> {
        lock(&self.election).holder().map(str::to_owned)
    }

    /// Somebody has obeyed this epoch, which a Lease that was deleted no longer tells of. If this process leads in a lower one it
    /// leads no more, and takes the Lease anew above it.
    pub fn learn(&self, obeyed: Epoch) {
        lock(&self.election).learn(obeyed);
    }

    /// How long the Lease has stood without a renewal, by whomever, as far as this process can see; `None`: it was never seen.
    pub fn unrenewed_for(&self) -> Option<Duration> {
        lock(&self.election).unrenewed_for(self.started.elapsed())
    }

    /// Returns when leading began or ended since the last call, with the epoch as it is now.
    pub async fn changed(&mut self) -> Option<Epoch> {
        if self.changes.changed().await.is_err() {
            // The campaign is over; nothing will ever change again.
            std::future::pending::<()>().await;
        }
        *self.changes.borrow_and_update()
    }
}

/// Starts to campaign. When `shutdown` is cancelled the Lease is given up, so that another leads at once.
pub fn campaign(
    client: Client,
    candidacy: Candidacy,
    shutdown: CancellationToken,
) -> (Leadership, tokio::task::JoinHandle<()>) {
    metrics::describe();
    let election = Arc::new(Mutex::new(Election::new(candidacy.me.clone(), candidacy.timing)));
    let (send, changes) = watch::channel(None);
    let started = tokio::time::Instant::now();
    let leadership = Leadership { election: election.clone(), started, changes };
    let api = Api::namespaced(client, &candidacy.namespace);
    let campaign = Campaign { api, candidacy, election, started, changes: send };
    (leadership, tokio::spawn(campaign.run(shutdown)))
}

struct Campaign {
    api: Api<Lease>,
    candidacy: Candidacy,
    election: Arc<Mutex<Election>>,
    started: tokio::time::Instant,
    changes: watch::Sender<Option<Epoch>>,
}

impl Campaign {
    async fn run(self, shutdown: CancellationToken) {
        loop {
            self.tell();
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.once() => {}
            }
        }
        let resignation = lock(&self.election).resign();
        self.tell();
        if let Some(step) = resignation
            && let Err(error) = self.within(self.write(&step, "")).await
        {
            tracing::info!(lease = self.candidacy.name, %error, "the lease was not given up; another leads when it has run out");
        }
    }

    /// One step of the election.
    async fn once(&self) {
        let began = self.started.elapsed();
        let step = lock(&self.election).step(began);
        match step {
            Step::Wait(at) => self.wait(at).await,
            Step::Read => {
                let read = self.within(self.api.get_opt(&self.candidacy.name)).await;
                let now = self.started.elapsed();
                let mut election = lock(&self.election);
                match read {
                    Ok(lease) => election.observed(now, lease.as_ref().map(record)),
                    Err(error) => {
                        tracing::debug!(lease = self.candidacy.name, %error, "the lease cannot be read");
                        metrics::fault(&self.candidacy.name, "read");
                        election.unreadable(now);
                    }
                }
            }
            step => {
                let written = self.within(self.write(&step, &self.candidacy.me)).await;
                if let Err(error) = &written {
                    tracing::debug!(lease = self.candidacy.name, %error, "the lease was not written");
                    metrics::fault(&self.candidacy.name, "write");
                }
                let record = written.ok().as_ref().map(record);
                lock(&self.election).written(began, self.started.elapsed(), record);
            }
        }
    }

    /// Waits for the next look at the Lease, or for the end of leading if that comes first.
    async fn wait(&self, at: Duration) {
        let ends = lock(&self.election).leads_until().filter(|until| *until > self.started.elapsed());
        let at = ends.map_or(at, |until| until.min(at));
        tokio::time::sleep_until(self.started + at).await;
    }

    fn tell(&self) {
        let epoch = lock(&self.election).leads(self.started.elapsed());
        metrics::leading(&self.candidacy.name, epoch.is_some());
        self.changes.send_if_modified(|standing| {
            let modified = *standing != epoch;
            if modified {
                tracing::info!(lease = self.candidacy.name, from = ?standing, to = ?epoch, "leadership changed");
                *standing = epoch;
            }
            modified
        });
    }

    async fn write(&self, step: &Step, holder: &str) -> Result<Lease, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let mut lease = Lease {
            metadata: ObjectMeta { name: Some(self.candidacy.name.clone()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(self.candidacy.timing.duration.as_secs() as i32),
                renew_time: Some(now.clone()),
                ..LeaseSpec::default()
            }),
        };
        let spec = lease.spec.as_mut().expect("just set");
        match step {
            Step::Create { transitions } => {
                spec.lease_transitions = Some(*transitions as i32);
                spec.acquire_time = Some(now);
                self.api.create(&PostParams::default(), &lease).await
            }
            Step::Replace { version, transitions } => {
                spec.lease_transitions = Some(*transitions as i32);
                spec.acquire_time = Some(now);
                lease.metadata.resource_version = Some(version.clone());
                self.api.replace(&self.candidacy.name, &PostParams::default(), &lease).await
            }
            Step::Read | Step::Wait(_) => unreachable!("not a write"),
        }
    }

    /// A request that takes longer than this is given up: a renewal that late would not be worth its wait.
    async fn within<T>(&self, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
        let limit = self.candidacy.timing.duration / 3;
        tokio::time::timeout(limit, request).await.map_err(|_| CallError::Late(limit))?.map_err(CallError::Api)
    }
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("no answer from the API server within {0:?}")]
    Late(Duration),
    #[error(transparent)]
    Api(kube::Error),
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.unwrap_or_default(),
        transitions: spec.lease_transitions.map_or(0, |n| n.max(0) as u64),
    }
}

/// A poisoned lock means that a thread panicked between two of this module's lines, none of which leaves half a state.
fn lock(election: &Mutex<Election>) -> MutexGuard<'_, Election> {
    election.lock().unwrap_or_else(PoisonError::into_inner)
}
