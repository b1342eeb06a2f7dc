//! One bot's life: log in, queue, wait, play, look for the result, and again until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use arena::random::Random;
use client::Resumption;
use game::Schema;
use netcode::emulator::Conditions;
use netcode::endpoint::Carrier;
use protocol::id::{MatchId, PlayerId, TicketId};
use protocol::wire::{CloseReason, Refusal};
use reqwest::StatusCode;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::{Api, ApiError, JoinToken, Ticket};
use crate::churn::Mishap;
use crate::history::{Event, Recorder};
use crate::play::{End, Order, play};
use crate::report::{Report, count};
use crate::run::Progress;
use crate::ticket::{self, Waited};

/// How long a result may take from the outcome to the player's history.
const HISTORY_WITHIN: Duration = Duration::from_secs(20);
/// Attempts to get into one match.
const ENTER_ATTEMPTS: u32 = 6;
/// Longest pause after something failed.
const PAUSE_MAX_MS: u32 = 2_000;

/// One bot.
pub struct Bot {
    /// Its account.
    pub api: Api,
    /// The queue it plays in.
    pub queue: String,
    /// The game it plays.
    pub schema: Arc<Schema>,
    /// Its account's id.
    pub player: PlayerId,
    /// What carries its packets now: changed by a mishap, or when nobody answers.
    pub carrier: Carrier,
    /// Whether the last session got no answer, and the other carrier is tried.
    is_falling_back: bool,
    /// How bad its network is.
    pub network: Option<Conditions>,
    /// Whether mishaps befall it.
    pub churn: bool,
    /// Where it writes down what it sees.
    pub history: Recorder,
    /// What it says of its regions.
    pub region_rtts: Vec<(String, u32)>,
    /// No new tickets after this; a running match is played to its end.
    pub stop: CancellationToken,
    /// Leave everything at once.
    pub abort: CancellationToken,
    /// Where it counts for the progress display.
    pub progress: watch::Sender<Progress>,
    /// What it measured.
    pub report: Report,
    random: Random,
}

/// A match that the bot knows of, and since when.
struct Found {
    match_id: MatchId,
    known: Instant,
}

impl Bot {
    /// A bot that has logged in.
    pub fn new(api: Api, player: PlayerId, (seed, carrier): (u64, Carrier), run: &crate::run::Shared) -> Self {
        let mut random = Random::new(seed);
        // Its own region is near, the others farther away, each as far as the seed says.
        let nearest = random.below(run.regions.len().max(1) as u32) as usize;
        let region_rtts = run.regions.iter().enumerate().map(|(place, region)| {
            let base = if place == nearest { 5 } else { 60 };
            (region.clone(), base + random.below(40))
        });
        Self {
            api,
            queue: run.queue.clone(),
            schema: Arc::clone(&run.schema),
            player,
            carrier,
            is_falling_back: false,
            network: run.network,
            churn: run.churn,
            history: run.history.clone(),
            region_rtts: region_rtts.collect(),
            stop: run.stop.clone(),
            abort: run.abort.clone(),
            progress: run.progress.clone(),
            report: Report { players: 1, ..Report::default() },
            random,
        }
    }

    /// Plays matches until it is told to stop.
    pub async fn live(mut self) -> Report {
        while !self.stop.is_cancelled() && !self.abort.is_cancelled() {
            match self.find_match().await {
                Ok(Some(found)) => self.play_match(&found).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a bot cannot queue");
                    self.pause().await;
                }
            }
        }
        self.close_account().await;
        for (kind, times) in std::mem::take(&mut self.api.failures) {
            *self.report.api_failures.entry(kind).or_default() += times;
        }
        self.report
    }

    /// Writes down what the account came to.
    async fn close_account(&mut self) {
        if self.abort.is_cancelled() {
            return;
        }
        if let (Ok(counted), Ok(listed)) = (self.api.matches_counted().await, self.api.recent_matches().await) {
            self.history.record(Event::Account { player: self.player, counted, listed });
        }
    }

    /// Queues and waits for a match; none when the ticket ended otherwise or the bot was stopped.
    async fn find_match(&mut self) -> Result<Option<Found>, ApiError> {
        let asked = Instant::now();
        let mut ticket_id = TicketId::from_entropy(service::random::bytes());
        match self.api.create_ticket(ticket_id, &self.queue, &self.region_rtts).await {
            Ok(_) => {}
            Err(ApiError::Problem { kind, ticket_id: Some(own), .. }) if kind == "has-ticket" => ticket_id = own,
            Err(ApiError::Problem { kind, match_id: Some(match_id), .. }) if kind == "in-match" => {
                // The result of the last match may still be on its way; a match that is not over can be entered again.
                self.pause().await;
                let is_known_over = self.report.matches_ended.contains(&match_id);
                return Ok((!is_known_over).then_some(Found { match_id, known: asked }));
            }
            Err(error) => return Err(error),
        }
        self.history.record(Event::Queued { player: self.player, ticket: ticket_id });
        self.report.tickets += 1;
        self.progress.send_modify(|progress| progress.queued += 1);
        let waited = self.wait_for(ticket_id).await;
        self.progress.send_modify(|progress| progress.queued -= 1);
        let Some(ticket) = waited? else { return Ok(None) };
        let match_id = ticket.placed.as_ref().map(|placed| placed.match_id);
        let state = ticket.state.clone();
        self.history.record(Event::Ticket { player: self.player, ticket: ticket_id, state, match_id });
        let Some(placed) = ticket.placed.filter(|_| ticket.state == "completed") else {
            count(&mut self.report.tickets_unmatched, &ticket.state);
            self.pause().await;
            return Ok(None);
        };
        self.report.time_to_match.add(asked.elapsed());
        Ok(Some(Found { match_id: placed.match_id, known: Instant::now() }))
    }

    /// Waits for the ticket. A stopped bot cancels it, and plays if it was too late for that.
    async fn wait_for(&mut self, ticket_id: TicketId) -> Result<Option<Ticket>, ApiError> {
        let stop = self.stop.clone();
        match ticket::wait(&mut self.api, ticket_id, &stop).await? {
            Waited::Final(ticket) => return Ok(Some(ticket)),
            Waited::Stopped if self.abort.is_cancelled() => return Ok(None),
            Waited::Stopped => {}
        }
        let ticket = self.api.cancel_ticket(ticket_id).await?;
        if ticket.is_final() {
            return Ok(Some(ticket));
        }
        // It is being placed, so there will be a match within seconds, with this player on its roster.
        let abort = self.abort.clone();
        match ticket::wait(&mut self.api, ticket_id, &abort).await? {
            Waited::Final(ticket) => Ok(Some(ticket)),
            Waited::Stopped => Ok(None),
        }
    }

    /// Enters a match, again when the session breaks, and plays it to its end.
    async fn play_match(&mut self, found: &Found) {
        let (mut was_inside, mut away_since, mut churn) = (false, None, self.churn);
        // Where the last session was, and what it left.
        let mut left: Option<(JoinToken, Resumption)> = None;
        for _ in 0..ENTER_ATTEMPTS {
            let (joined, resumption) = match left.take() {
                Some((join, resumption)) => (Ok(join), Some(resumption)),
                None => (self.api.join_token(found.match_id).await, None),
            };
            let resumes = resumption.is_some();
            let join = match joined {
                Ok(join) => join,
                Err(error) if matches!(error.status(), Some(StatusCode::NOT_FOUND | StatusCode::GONE)) => {
                    return self.learn_why_over(found.match_id).await;
                }
                Err(error) => {
                    tracing::warn!(match_id = %found.match_id, %error, "no join token");
                    count(&mut self.report.join_failures, "no_token");
                    self.pause().await;
                    continue;
                }
            };
            self.progress.send_modify(|progress| progress.playing += 1);
            let order = Order {
                join: &join,
                resumption,
                schema: &self.schema,
                seed: self.random.next_u64(),
                known: found.known,
                abort: &self.abort,
                carrier: self.carrier,
                network: self.network,
                churn,
                away_since,
                watch: self.api.match_watch(found.match_id),
            };
            let joined = Event::Joined { player: self.player, match_id: found.match_id };
            let end = play(order, &mut self.report, &mut || self.history.record(joined.clone())).await;
            self.progress.send_modify(|progress| progress.playing -= 1);
            let end = match end {
                Ok(end) => end,
                Err(error) => {
                    tracing::error!(match_id = %found.match_id, error = format!("{error:#}"), "cannot play");
                    count(&mut self.report.join_failures, "unplayable");
                    return self.pause().await;
                }
            };
            self.report.resumes += u64::from(resumes && end.was_inside());
            let cut = if let End::Cut { left, .. } = &end { Some(left.clone()) } else { None };
            if self.take_end(found.match_id, end, &mut was_inside).await {
                return;
            }
            match cut {
                Some(resumption) => {
                    (away_since, churn) = (Some(Instant::now()), false);
                    left = resumption.map(|resumption| (join, resumption));
                }
                None => self.pause().await,
            }
        }
    }

    /// Writes down that the player knows now that the match is over.
    fn told(&self, match_id: MatchId, state: &str) {
        self.history.record(Event::Told { player: self.player, match_id, state: state.to_owned() });
    }

    /// A match that gives no join token any more is over; metagame knows why.
    async fn learn_why_over(&mut self, match_id: MatchId) {
        let state = self.api.match_watch(match_id).state().await;
        self.told(match_id, state.as_deref().unwrap_or("ended"));
    }

    /// Counts how a session ended; true when there is nothing more to do in this match.
    async fn take_end(&mut self, match_id: MatchId, end: End, was_inside: &mut bool) -> bool {
        if end.was_inside() {
            self.report.matches.insert(match_id);
            self.is_falling_back = false;
            match self.carrier {
                Carrier::Native => self.report.udp_clients = 1,
                Carrier::Quic => self.report.quic_clients = 1,
            }
            self.report.reconnects += u64::from(std::mem::replace(was_inside, true));
        }
        match end {
            End::Ended { score } => {
                self.told(match_id, "ended");
                self.report.games_ended += 1;
                self.report.matches_ended.insert(match_id);
                self.report.kills += u64::try_from(score).unwrap_or(0);
                self.progress.send_modify(|progress| progress.games_ended += 1);
                self.look_up(match_id).await;
                true
            }
            End::Lost => {
                tracing::info!(%match_id, "the match is lost");
                self.told(match_id, "lost");
                self.report.games_lost += 1;
                true
            }
            End::Cut { mishap, .. } => {
                if mishap == Mishap::ChangeCarrier {
                    self.carrier = self.carrier.other();
                }
                self.history.record(Event::Cut { player: self.player, match_id, why: format!("{mishap:?}") });
                false
            }
            End::Aborted => true,
            End::Closed(reason) => {
                tracing::warn!(%match_id, reason = reason.label(), "disconnected");
                self.history.record(Event::Cut { player: self.player, match_id, why: reason.label().to_owned() });
                self.report.disconnects += 1;
                self.progress.send_modify(|progress| progress.disconnects += 1);
                matches!(reason, CloseReason::Kicked | CloseReason::SeatTaken)
            }
            End::TimedOut => {
                let silent = self.carrier.label();
                self.carrier = self.carrier.other();
                self.is_falling_back = !self.is_falling_back;
                if !self.is_falling_back {
                    self.fail(match_id, "timed_out");
                } else {
                    tracing::warn!(%match_id, silent, next = self.carrier.label(), "no answer; trying the other carrier");
                }
                false
            }
            End::Refused(refusal) => {
                // A match that the bot has been in and that is gone by now has ended meanwhile.
                if *was_inside && refusal == Refusal::NoMatch {
                    self.learn_why_over(match_id).await;
                    return true;
                }
                self.fail(match_id, refusal.label());
                matches!(refusal, Refusal::NoMatch | Refusal::NotOnRoster | Refusal::Version | Refusal::Schema)
            }
        }
    }

    fn fail(&mut self, match_id: MatchId, why: &str) {
        tracing::warn!(%match_id, why, "cannot enter the match");
        count(&mut self.report.join_failures, why);
        self.progress.send_modify(|progress| progress.join_failures += 1);
    }

    /// Waits for the match to appear in the player's history.
    async fn look_up(&mut self, match_id: MatchId) {
        let give_up = Instant::now() + HISTORY_WITHIN;
        while Instant::now() < give_up && !self.abort.is_cancelled() {
            let listed = self.api.recent_matches().await.unwrap_or_default();
            let times = listed.iter().filter(|listed| **listed == match_id).count() as u64;
            if times > 0 {
                self.history.record(Event::Result { player: self.player, match_id, times });
                self.report.games_in_history += 1;
                return;
            }
            tokio::time::sleep(Duration::from_millis(150 + u64::from(self.random.below(200)))).await;
        }
        tracing::warn!(%match_id, "the result does not appear in the player's history");
        self.report.games_missing += 1;
    }

    async fn pause(&mut self) {
        let wait = Duration::from_millis(u64::from(200 + self.random.below(PAUSE_MAX_MS - 200)));
        tokio::select! {
            () = self.abort.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bot(carrier: Carrier) -> Bot {
        let shared = crate::run::Shared {
            queue: "duel".into(),
            schema: Arc::new(<arena::Arena as game::Game>::schema()),
            regions: Vec::new(),
            network: None,
            churn: false,
            history: Recorder::default(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            progress: watch::channel(Progress::default()).0,
        };
        // Nobody listens at port 9: what ends here is decided without a call.
        let api = Api::new(reqwest::Client::new(), "http://127.0.0.1:9", "0".repeat(32), "Bot".into(), 1);
        Bot::new(api, PlayerId::from_entropy([1; 16]), (1, carrier), &shared)
    }

    async fn end(bot: &mut Bot, end: End) -> (Carrier, u64) {
        let is_over = bot.take_end(MatchId::from_entropy([1; 16]), end, &mut false).await;
        assert!(!is_over, "the bot goes on");
        (bot.carrier, bot.report.join_failures_total())
    }

    #[tokio::test]
    async fn silence_on_one_carrier_is_no_failure_and_silence_on_both_is_one() {
        let mut bot = bot(Carrier::Native);
        assert_eq!(end(&mut bot, End::TimedOut).await, (Carrier::Quic, 0));
        assert_eq!(end(&mut bot, End::TimedOut).await, (Carrier::Native, 1));
        assert_eq!(end(&mut bot, End::TimedOut).await, (Carrier::Quic, 1));
        assert_eq!(bot.report.join_failures["timed_out"], 1);
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer_so_the_carrier_stays() {
        let mut bot = bot(Carrier::Quic);
        assert_eq!(end(&mut bot, End::Refused(Refusal::Busy)).await, (Carrier::Quic, 1));
        assert_eq!(end(&mut bot, End::TimedOut).await, (Carrier::Native, 1));
        // Refused by the carrier that was fallen back to.
        assert_eq!(end(&mut bot, End::Refused(Refusal::TokenExpired)).await, (Carrier::Native, 2));
    }

    #[tokio::test]
    async fn an_answer_after_the_fallback_ends_it_so_later_silence_begins_a_new_one() {
        let mut bot = bot(Carrier::Native);
        assert_eq!(end(&mut bot, End::TimedOut).await, (Carrier::Quic, 0));
        assert_eq!(end(&mut bot, End::Closed(CloseReason::TimedOut)).await, (Carrier::Quic, 0));
        assert_eq!((bot.report.udp_clients, bot.report.quic_clients), (0, 1));
        assert_eq!(end(&mut bot, End::TimedOut).await, (Carrier::Native, 0));
    }
}
