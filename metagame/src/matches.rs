//! Matches: metagame in front of the allocator. Join tokens are asked for here, and what the allocator reports of
//! its matches is noted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::id::{MatchId, PlayerId};
use protocol::pb;
use protocol::pb::MatchEventKind;
use protocol::pb::allocator_client::AllocatorClient;
use service::Shutdown;
use service::backoff::Backoff;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use crate::core::match_event::Placement;
use crate::core::match_state::Report;
use crate::keys::AllocatorKeys;
use crate::metrics;
use crate::problem::Problem;
use crate::store::{MatchRecord, MatchReport, Seat, Store, StoreError};
use crate::upstream::{ALLOCATOR, Arrival, Position, Upstream, away, backoff, call, pause};

/// Matches of one audit: what the allocator takes at once.
const AUDIT_MAX: usize = 1_000;
/// From one audit that the allocator could not answer yet to the next.
const AUDIT_AGAIN: Duration = Duration::from_millis(250);

/// The allocator, as far as clients reach it.
pub(crate) struct Matches {
    client: AllocatorClient<Upstream>,
    store: Store,
    keys: Arc<AllocatorKeys>,
}

impl Matches {
    pub(crate) fn new(channel: Upstream, store: Store, keys: Arc<AllocatorKeys>) -> Self {
        Self { client: AllocatorClient::new(channel), store, keys }
    }

    /// A match of which the player is one.
    pub(crate) async fn get(&self, player: PlayerId, match_id: MatchId) -> Result<MatchRecord, Problem> {
        let record = self.store.find_match(match_id).await?;
        let record = record.ok_or_else(|| Problem::not_found("unknown-match", "there is no such match"))?;
        if record.roster.iter().any(|seat| seat.player_id == player) {
            return Ok(record);
        }
        Err(Problem::forbidden("not-on-roster", "you are not a player of this match"))
    }

    /// A join token for a player of a live match.
    pub(crate) async fn join_token(
        &self,
        player: PlayerId,
        match_id: MatchId,
    ) -> Result<(pb::MintJoinTokenResponse, MatchRecord), Problem> {
        let over = |detail: &str| {
            metrics::join_token("over");
            Problem::gone("match-over", detail.to_owned())
        };
        let record = self.get(player, match_id).await?;
        if !record.state.is_live() {
            return Err(over(&format!("the match has {}", record.state)));
        }
        let request = pb::MintJoinTokenRequest { match_id: match_id.to_string(), player_id: player.to_string() };
        match call(self.client.clone().mint_join_token(request)).await {
            Ok(minted) => {
                metrics::join_token("minted");
                tracing::info!(%match_id, player_id = %player, trace_id = record.trace_id, "join token");
                Ok((minted, record))
            }
            Err(status) if status.code() == Code::NotFound => {
                // How it ended, the allocator's log tells. Where that word has passed unheard, it is asked for again.
                self.ask_after(&[match_id]).await?;
                Err(over("the match is over"))
            }
            // PERMISSION_DENIED is also what a refused service token gets ("metagame may not call …").
            Err(status) if status.code() == Code::PermissionDenied && !status.message().contains("may not call") => {
                metrics::join_token("refused");
                Err(Problem::forbidden("not-on-roster", "you are not a player of this match"))
            }
            Err(status) => {
                metrics::join_token("unavailable");
                Err(away(ALLOCATOR, &status))
            }
        }
    }

    /// Follows the allocator's matches until shutdown.
    pub(crate) async fn follow(self: Arc<Self>, shutdown: Shutdown) {
        let mut position = Position::default();
        let mut backoff = backoff();
        loop {
            let broken = tokio::select! {
                () = shutdown.wait() => return,
                status = self.follow_once(&mut position, &mut backoff) => status,
            };
            if broken.code() == Code::OutOfRange {
                position.reset();
            }
            if !pause(ALLOCATOR, &broken, &mut backoff, &shutdown).await {
                return;
            }
        }
    }

    /// Reads one stream until it breaks, and says why. Meanwhile the allocator behind it is asked for the matches that are
    /// believed alive: a new one knows those alone that a server brought back.
    async fn follow_once(self: &Arc<Self>, position: &mut Position, backoff: &mut Backoff) -> Status {
        let asked = position.cursor();
        let request = pb::WatchMatchesRequest { cursor: asked };
        let mut stream = match call(self.client.clone().watch_matches(request)).await {
            Ok(stream) => stream,
            Err(status) => return status,
        };
        // An allocator that answers again may be a new one, with a new key: results will name it soon.
        if self.keys.refresh(Instant::now()).await.is_err() {
            tracing::debug!("the allocator's keys are asked for again with the next result");
        }
        let _audit = AbortOnDropHandle::new(tokio::spawn(Arc::clone(self).audit()));
        loop {
            let event = match stream.message().await {
                Ok(Some(event)) => event,
                Ok(None) => return Status::unavailable("the stream ended"),
                Err(status) => return status,
            };
            backoff.reset();
            if position.look(asked, &event.log_id) == Arrival::Restarted {
                return Status::out_of_range("the allocator started afresh");
            }
            if let Err(error) = self.note(&event).await {
                tracing::error!(match_id = event.match_id, %error, "cannot note a match event");
                return Status::aborted("a match event could not be noted");
            }
            position.advance(&event.log_id, event.cursor);
        }
    }

    /// Asks until the allocator has answered for every match that holds players. What is lost, its log tells.
    async fn audit(self: Arc<Self>) {
        loop {
            match self.audit_once().await {
                Ok(0) => return,
                Ok(lost) => {
                    return tracing::info!(lost, "matches ended with their servers while no allocator listened");
                }
                Err(AuditError::Allocator(status)) if status.code() == Code::Unavailable => {
                    tracing::debug!(%status, "the allocator cannot say yet which matches are lost");
                }
                Err(error) => tracing::warn!(%error, "cannot ask the allocator which matches are lost; asking again"),
            }
            tokio::time::sleep(AUDIT_AGAIN).await;
        }
    }

    async fn audit_once(&self) -> Result<u32, AuditError> {
        let held = self.store.held_matches(service::clock::unix_ms()).await?;
        self.ask_after(&held).await
    }

    /// Asks the allocator for matches that are believed alive; how many are lost. Its log tells which.
    async fn ask_after(&self, believed: &[MatchId]) -> Result<u32, AuditError> {
        let mut lost = 0;
        for page in believed.chunks(AUDIT_MAX) {
            let match_ids = page.iter().map(MatchId::to_string).collect();
            let answer = call(self.client.clone().audit_matches(pb::AuditMatchesRequest { match_ids })).await;
            lost += answer.map_err(AuditError::Allocator)?.lost;
        }
        Ok(lost)
    }

    async fn note(&self, event: &pb::MatchEvent) -> Result<(), StoreError> {
        let Some((report, label)) = read_report(event) else {
            return Ok(());
        };
        let (kind, match_id) = (report.report, report.match_id);
        let changed = self.store.report_match(report).await?;
        metrics::match_report(label, changed);
        let (reason, trace_id) = (&event.reason, &event.trace_id);
        if changed && kind == Report::Lost {
            tracing::warn!(%match_id, trace_id, reason, server_id = event.server_id, "match lost, its players are free");
        } else if changed {
            tracing::debug!(%match_id, trace_id, reason, label, "match event");
        }
        Ok(())
    }
}

/// Why it is not known which matches are lost.
#[derive(Debug, thiserror::Error)]
enum AuditError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the allocator does not answer: {0}")]
    Allocator(Status),
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Store(error) => error.into(),
            AuditError::Allocator(status) => away(ALLOCATOR, &status),
        }
    }
}

fn read_report(event: &pb::MatchEvent) -> Option<(MatchReport, &'static str)> {
    let (report, label) = match event.kind() {
        MatchEventKind::Unspecified => return None,
        MatchEventKind::Joinable => (Report::Joinable, "joinable"),
        MatchEventKind::Playing => (Report::Playing, "playing"),
        MatchEventKind::Ended => (Report::Ended, "ended"),
        MatchEventKind::Lost => (Report::Lost, "lost"),
        MatchEventKind::Closed => (Report::Closed, "closed"),
    };
    let seat = |entry: &pb::RosterEntry| {
        Some(Seat { player_id: entry.player_id.parse().ok()?, team: entry.team, name: entry.name.clone() })
    };
    let now_ms = service::clock::unix_ms();
    let report = MatchReport {
        match_id: event.match_id.parse().ok()?,
        report,
        reason: event.reason.clone(),
        trace_id: event.trace_id.clone(),
        queue: event.queue.clone(),
        roster: event.roster.iter().filter_map(seat).collect(),
        placement: Placement {
            server_id: event.server_id.clone(),
            server_name: event.server_name.clone(),
            build: event.build.clone(),
            region: event.region.clone(),
        },
        at_ms: if event.at_ms == 0 { now_ms } else { event.at_ms.min(now_ms) },
    };
    Some((report, label))
}
