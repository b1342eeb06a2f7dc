//! How the rest of the allocator talks to the actor.

use std::time::Duration;

use protocol::id::{MatchId, PlayerId};
use protocol::pb;
use tokio::sync::{mpsc, oneshot};

use crate::actor::{AllocateAnswer, Command, EventPage, LinkOut, Registered, StandingOrder};
use crate::core::audit::NotSettled;
use crate::core::link::LinkId;
use crate::core::registration::Registration;
use crate::core::request::MatchRequest;
use crate::core::updates::{FromServer, JoinGrant, JoinGrantError, ReleaseError};

/// The actor has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the allocator has ended")]
pub(crate) struct ActorEnded;

/// Sends commands to the actor and waits for their answers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ActorClient(mpsc::Sender<Command>);

impl ActorClient {
    pub(crate) fn new(commands: mpsc::Sender<Command>) -> Self {
        Self(commands)
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, ActorEnded> {
        let (answer, answered) = oneshot::channel();
        self.tell(command(answer)).await?;
        answered.await.map_err(|_| ActorEnded)
    }

    async fn tell(&self, command: Command) -> Result<(), ActorEnded> {
        self.0.send(command).await.map_err(|_| ActorEnded)
    }

    pub(crate) async fn allocate(
        &self,
        request: MatchRequest,
        attempt: u32,
        wait: Duration,
    ) -> Result<AllocateAnswer, ActorEnded> {
        self.ask(|answer| Command::Allocate { request, attempt, wait, answer }).await
    }

    pub(crate) async fn release(
        &self,
        match_id: MatchId,
        reason: String,
    ) -> Result<Result<(), ReleaseError>, ActorEnded> {
        self.ask(|answer| Command::Release { match_id, reason, answer }).await
    }

    pub(crate) async fn join_grant(
        &self,
        match_id: MatchId,
        player_id: PlayerId,
    ) -> Result<Result<JoinGrant, JoinGrantError>, ActorEnded> {
        self.ask(|answer| Command::JoinGrant { match_id, player_id, answer }).await
    }

    pub(crate) async fn events(&self, cursor: u64, events_max: usize) -> Result<EventPage, ActorEnded> {
        self.ask(|answer| Command::Events { cursor, events_max, answer }).await
    }

    pub(crate) async fn audit(&self, believed: Vec<MatchId>) -> Result<Result<u32, NotSettled>, ActorEnded> {
        self.ask(|answer| Command::Audit { believed, answer }).await
    }

    pub(crate) async fn pool(&self) -> Result<pb::GetPoolResponse, ActorEnded> {
        self.ask(|answer| Command::Pool { answer }).await
    }

    pub(crate) async fn register(
        &self,
        link: LinkId,
        registration: Registration,
        out: LinkOut,
    ) -> Result<Registered, ActorEnded> {
        let registration = Box::new(registration);
        self.ask(|answer| Command::Register { link, registration, out, answer }).await
    }

    pub(crate) async fn server_says(&self, link: LinkId, message: FromServer) -> Result<(), ActorEnded> {
        self.tell(Command::FromServer { link, message }).await
    }

    pub(crate) async fn link_cut(&self, link: LinkId) -> Result<(), ActorEnded> {
        self.tell(Command::LinkCut { link }).await
    }

    pub(crate) async fn server_gone(&self, name: String) -> Result<(), ActorEnded> {
        self.tell(Command::ServerGone { name }).await
    }

    pub(crate) async fn stand(&self, name: String, order: StandingOrder) -> Result<bool, ActorEnded> {
        self.ask(|answer| Command::Stand { name, order, answer }).await
    }
}
