//! The one task that writes to the SDK server.

use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::channel::{Client, call};
use super::plan::{Goal, Plan, Step};
use super::{Reply, SdkError, Timing};
use crate::backoff::entropy;
use crate::observed::Observed;
use crate::pb;
use crate::state::State;
use crate::{metrics, sdk_server::METADATA_PREFIX};

#[derive(Debug)]
pub(super) enum Command {
    Reach { goal: Goal, reply: Reply },
    Label { key: String, value: String, reply: Reply },
    Annotation { key: String, value: String, reply: Reply },
}

/// Serves commands until the last handle is gone. `observed` changes as the watch sees the GameServer.
pub(super) async fn run(
    client: Client,
    timing: Timing,
    mut commands: mpsc::Receiver<Command>,
    mut observed: watch::Receiver<Option<Observed>>,
) {
    let mut actor = Actor { client, plan: Plan::new(timing.clone()), timing, waiters: Vec::new() };
    loop {
        let state = observed.borrow_and_update().as_ref().map(effective_state);
        let wake = match actor.plan.step(Instant::now(), state) {
            Step::Done(answer) => {
                actor.answer(&answer);
                continue;
            }
            Step::Send(goal) => {
                actor.send(goal).await;
                continue;
            }
            Step::WaitUntil(at) => Some(at),
            Step::Idle => None,
        };
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => actor.handle(command, state).await,
                None => return,
            },
            // The sender lives in the watch task, which lives as long as this one.
            changed = observed.changed() => if changed.is_err() { return },
            () = sleep_until(wake) => {}
        }
    }
}

/// A GameServer that someone deletes takes no state change any more, whatever its state says.
fn effective_state(server: &Observed) -> State {
    if server.deleting { State::Shutdown } else { server.state }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

struct Actor {
    client: Client,
    timing: Timing,
    plan: Plan,
    /// Who waits for the current goal.
    waiters: Vec<Reply>,
}

impl Actor {
    async fn handle(&mut self, command: Command, observed: Option<State>) {
        let timeout = self.timing.call_timeout;
        match command {
            Command::Reach { goal, reply } => match self.plan.set(goal, observed) {
                Ok(replaced) => {
                    if replaced {
                        self.answer(&Err(SdkError::Superseded));
                    }
                    // Whoever gave up waiting frees its place.
                    self.waiters.retain(|waiter| !waiter.is_closed());
                    self.waiters.push(reply);
                }
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::Label { key, value, reply } => {
                let request = self.client.set_label(pb::KeyValue { key, value });
                drop(reply.send(call("SetLabel", timeout, request).await.map(drop)));
            }
            Command::Annotation { key, value, reply } => {
                let request = self.client.set_annotation(pb::KeyValue { key, value });
                drop(reply.send(call("SetAnnotation", timeout, request).await.map(drop)));
            }
        }
    }

    fn answer(&mut self, answer: &Result<(), SdkError>) {
        for waiter in self.waiters.drain(..) {
            drop(waiter.send(answer.clone()));
        }
    }

    async fn send(&mut self, goal: Goal) {
        let (name, timeout) = (name(goal), self.timing.call_timeout);
        if self.plan.is_repeat() {
            metrics::sdk_repeat(name);
            tracing::warn!(call = name, "the SDK server acknowledged a write that did not show; sending it again");
        }
        let client = &mut self.client;
        let result = match goal {
            Goal::Ready => call(name, timeout, client.ready(pb::Empty {})).await,
            Goal::Allocate => call(name, timeout, client.allocate(pb::Empty {})).await,
            Goal::Shutdown => call(name, timeout, client.shutdown(pb::Empty {})).await,
            Goal::Free => call(name, timeout, client.reserve(pb::Duration { seconds: 0 })).await,
            Goal::Reserve { seconds } => {
                call(name, timeout, client.reserve(pb::Duration { seconds: i64::from(seconds) })).await
            }
        };
        match result {
            Ok(_) => self.plan.acknowledged(Instant::now()),
            Err(error @ SdkError::Refused { .. }) => {
                self.plan.abandoned();
                self.answer(&Err(error));
            }
            Err(error) => {
                tracing::warn!(call = name, %error, "SDK write failed; trying again");
                self.plan.failed(Instant::now(), entropy());
            }
        }
    }
}

fn name(goal: Goal) -> &'static str {
    match goal {
        Goal::Ready => "Ready",
        Goal::Reserve { .. } | Goal::Free => "Reserve",
        Goal::Allocate => "Allocate",
        Goal::Shutdown => "Shutdown",
    }
}

/// The actor of a server without Agones: every write shows at once, by the same rules.
pub(super) async fn run_alone(mut commands: mpsc::Receiver<Command>, observed: watch::Sender<Option<Observed>>) {
    while let Some(command) = commands.recv().await {
        let mut result = Ok(());
        let change =
            |change: &mut dyn FnMut(&mut Observed)| observed.send_modify(|server| server.iter_mut().for_each(change));
        let reply = match command {
            Command::Reach { goal, reply } => {
                change(&mut |server| match (goal, server.state) {
                    (Goal::Shutdown, state) if state.is_final() => {}
                    (_, state) if state.is_final() => result = Err(SdkError::Final(state)),
                    (Goal::Ready | Goal::Reserve { .. }, State::Allocated) => result = Err(SdkError::Allocated),
                    _ => server.state = goal.target(),
                });
                reply
            }
            Command::Label { key, value, reply } => {
                let key = format!("{METADATA_PREFIX}{key}");
                change(&mut |server| drop(server.labels.insert(key.clone(), value.clone())));
                reply
            }
            Command::Annotation { key, value, reply } => {
                let key = format!("{METADATA_PREFIX}{key}");
                change(&mut |server| drop(server.annotations.insert(key.clone(), value.clone())));
                reply
            }
        };
        drop(reply.send(result));
    }
}
