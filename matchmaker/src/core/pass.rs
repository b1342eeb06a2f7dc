//! One search pass over all queues: who waited too long ends, matches are found and committed.

use std::sync::Arc;

use protocol::id::{MatchId, TicketId};
use protocol::pb;

use super::density::Density;
use super::matchmaker::{Entropy, Matchmaker, size};
use super::queue_config::QueueConfig;
use super::region::{Reach, rank};
use super::search::search;
use super::split::{Seat, split, spread};
use super::ticket::State;
use super::window::Candidate;

/// A match that was committed: all its tickets are PLACING, and it has to be placed.
#[derive(Debug, Clone)]
pub struct NewMatch {
    /// Its name for good.
    pub match_id: MatchId,
    /// The queue that made it.
    pub queue: Arc<QueueConfig>,
    /// Its tickets.
    pub tickets: Vec<TicketId>,
    /// Everyone in it, with teams.
    pub roster: Arc<[pb::RosterEntry]>,
    /// Regions that suit everyone, best first; empty: any.
    pub regions: Vec<String>,
    /// Build that all clients speak; empty: any.
    pub build: String,
    /// Trace of the oldest ticket, which goes on to the result.
    pub trace_id: String,
    /// Traces of the other tickets, to find them in the logs.
    pub other_traces: Vec<String>,
    /// Distance between the highest and the lowest rating of its tickets.
    pub rating_spread: f64,
    /// Distance between the strongest and the weakest team, per player.
    pub team_difference: f64,
}

/// Tickets that a search chose, before the commit.
struct Chosen {
    tickets: Vec<TicketId>,
    regions: Vec<String>,
    build: String,
}

impl Matchmaker {
    /// Ends tickets that waited too long, then finds and commits matches, at most so many that `placing_max` are
    /// being placed. The queues take turns in searching first.
    pub fn pass(&mut self, now_ms: u64, placing_max: usize, entropy: Entropy<'_>) -> Vec<NewMatch> {
        self.expire(now_ms);
        self.tickets.forget_finished(now_ms);
        self.forget_removed();
        let mut made = Vec::new();
        let mut turns: Vec<usize> = self.queues.keys().copied().collect();
        let first = self.first_queue.checked_rem(turns.len()).unwrap_or(0);
        turns.rotate_left(first);
        for queue in turns {
            let room = placing_max.saturating_sub(self.matches.len());
            if room == 0 || self.closing {
                break;
            }
            for chosen in self.choose(queue, now_ms, room) {
                made.extend(self.commit(queue, chosen, now_ms, entropy));
            }
        }
        self.first_queue = first + 1;
        made
    }

    fn expire(&mut self, now_ms: u64) {
        let mut late = Vec::new();
        for queue in self.queues.values() {
            if let Some(limit) = now_ms.checked_sub(queue.config.ticket_timeout_ms()) {
                let tickets = queue.pool.created_until(limit).into_iter();
                late.extend(tickets.map(|id| (id, queue.config.ticket_timeout_s)));
            }
        }
        for (id, timeout_s) in late {
            self.end(id, State::TimedOut { reason: format!("no match within {timeout_s} s") }, now_ms);
        }
    }

    fn choose(&mut self, number: usize, now_ms: u64, matches_max: usize) -> Vec<Chosen> {
        let queue = self.queue_mut(number);
        let config = &queue.config;
        let mut chosen = Vec::new();
        for build in queue.pool.builds() {
            let waiting = queue.pool.of_build(&build, now_ms);
            if waiting.iter().map(|waiting| waiting.size).sum::<u32>() < config.players() {
                continue;
            }
            let density = config.rating.map_or_else(Density::off, |rule| {
                let crowd = waiting.iter().map(|waiting| (waiting.rating, waiting.size));
                Density::new(&queue.population, crowd, config.players(), rule.pre_expand_wait_s, now_ms)
            });
            let candidates: Vec<Candidate<'_>> =
                waiting.iter().map(|waiting| Candidate::new(waiting, config, &density, now_ms)).collect();
            let window_max = config.rating.map_or(f64::INFINITY, |rule| rule.window_max);
            let room = matches_max - chosen.len();
            for members in search(&candidates, window_max, &mut queue.packing, room) {
                let reaches: Vec<Reach<'_>> = members.iter().map(|member| candidates[*member].reach()).collect();
                chosen.push(Chosen {
                    tickets: members.iter().map(|member| candidates[*member].waiting.ticket).collect(),
                    regions: rank(&reaches).into_iter().map(|region| config.regions[region].clone()).collect(),
                    build: build.clone(),
                });
            }
        }
        chosen
    }

    /// Makes a match of the chosen tickets: all of them go to PLACING in this one step, or none.
    fn commit(&mut self, number: usize, chosen: Chosen, now_ms: u64, entropy: Entropy<'_>) -> Option<NewMatch> {
        let config = self.queues[&number].config.clone();
        let mut tickets: Vec<_> = chosen.tickets.iter().map(|id| self.tickets.get(*id)).collect::<Option<_>>()?;
        tickets.sort_by_key(|ticket| (ticket.created_ms, ticket.id()));
        if tickets.iter().any(|ticket| *ticket.state() != State::Queued) {
            return None;
        }
        let shape = self.queues[&number].packing.shape();
        let seats: Vec<Seat> = tickets
            .iter()
            .map(|ticket| Seat { size: size(ticket), rating_sum: ticket.request.rating() * f64::from(size(ticket)) })
            .collect();
        let teams = split(shape, &seats)?;
        let mut roster = Vec::new();
        for (ticket, team) in tickets.iter().zip(&teams) {
            roster.extend(ticket.request.players.iter().map(|player| pb::RosterEntry {
                player_id: player.id.to_string(),
                team: *team,
                name: player.name.clone(),
                party_id: ticket.request.party.map(|party| party.id.to_string()).unwrap_or_default(),
            }));
        }
        roster.sort_by_key(|entry| entry.team);
        let ratings = || tickets.iter().map(|ticket| ticket.request.rating());
        let traces: Vec<String> = tickets.iter().map(|ticket| ticket.request.trace_id.clone()).collect();
        let new = NewMatch {
            match_id: match_id(now_ms, entropy),
            rating_spread: ratings().fold(f64::MIN, f64::max) - ratings().fold(f64::MAX, f64::min),
            team_difference: spread(shape.teams, &seats, &teams) / f64::from(shape.team_size),
            queue: config,
            tickets: tickets.iter().map(|ticket| ticket.id()).collect(),
            roster: roster.into(),
            regions: chosen.regions,
            build: chosen.build,
            trace_id: traces[0].clone(),
            other_traces: traces[1..].to_vec(),
        };
        for id in &new.tickets {
            let ticket = self.tickets.advance(*id, State::Placing { match_id: new.match_id }, now_ms);
            let created_ms = ticket.expect("all are queued").created_ms;
            self.queue_mut(number).pool.remove(created_ms, *id);
            self.log(*id);
        }
        self.queue_mut(number).placing_matches += 1;
        self.matches.insert(new.match_id, new.tickets.clone());
        Some(new)
    }
}

fn match_id(now_ms: u64, entropy: Entropy<'_>) -> MatchId {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&entropy().to_le_bytes());
    random[8..].copy_from_slice(&entropy().to_le_bytes()[..2]);
    MatchId::from_time(now_ms, random)
}
