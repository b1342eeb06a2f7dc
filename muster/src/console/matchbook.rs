//! The matches that the allocator has told of: their events, who played, what they cost. Bounded; the oldest go.

use std::collections::{BTreeMap, VecDeque};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use protocol::pb::{MatchEvent, MatchEventKind, MatchStats, RosterEntry};
use serde_json::{Value, json};

/// Most matches that are kept.
const MATCHES_MAX: usize = 500;
/// Most events of one match.
const EVENTS_MAX: usize = 32;

/// One match.
#[derive(Debug, Default)]
pub(super) struct Entry {
    match_id: String,
    trace_id: String,
    server_name: String,
    roster: Vec<RosterEntry>,
    /// Kind, Unix milliseconds, reason.
    events: Vec<(&'static str, u64, String)>,
    allocation_us: u64,
    stats: Option<MatchStats>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct MatchBook {
    entries: BTreeMap<String, Entry>,
    /// Oldest first.
    order: VecDeque<String>,
    /// Log and cursor of the newest event.
    seen: (String, u64),
    /// How long the newest allocation took.
    pub(super) newest_allocation_us: Option<u64>,
}

impl MatchBook {
    /// Notes an event; one that was seen before changes nothing.
    pub(super) fn add(&mut self, event: MatchEvent) {
        if self.seen.0 == event.log_id && event.cursor <= self.seen.1 {
            return;
        }
        self.seen = (event.log_id.clone(), event.cursor);
        let Some(kind) = kind_name(event.kind()) else { return };
        if !self.entries.contains_key(&event.match_id) {
            self.order.push_back(event.match_id.clone());
            while self.order.len() > MATCHES_MAX {
                self.order.pop_front().map(|oldest| self.entries.remove(&oldest));
            }
        }
        let entry = self.entries.entry(event.match_id.clone()).or_default();
        entry.match_id = event.match_id;
        if entry.events.len() < EVENTS_MAX {
            entry.events.push((kind, event.at_ms, event.reason));
        }
        if !event.roster.is_empty() {
            entry.roster = event.roster;
        }
        for (into, from) in [(&mut entry.trace_id, event.trace_id), (&mut entry.server_name, event.server_name)] {
            if !from.is_empty() {
                *into = from;
            }
        }
        if event.allocation_us > 0 {
            entry.allocation_us = event.allocation_us;
            self.newest_allocation_us = Some(event.allocation_us);
        }
        entry.stats = event.stats.or(entry.stats.take());
    }

    /// The match with this id.
    pub(super) fn get(&self, match_id: &str) -> Option<&Entry> {
        self.entries.get(match_id)
    }

    /// The newest matches that are over, newest first.
    pub(super) fn over(&self, count: usize) -> Vec<&Entry> {
        let newest = self.order.iter().rev().filter_map(|id| self.entries.get(id));
        newest.filter(|entry| entry.is_over()).take(count).collect()
    }
}

impl Entry {
    /// The newest event's kind: "joinable", "playing", "ended", "lost" or "closed".
    fn state(&self) -> &'static str {
        // Closed follows Ended and Lost, and says less.
        let told = self.events.iter().rev().map(|(kind, ..)| *kind);
        let over = told.clone().find(|kind| matches!(*kind, "ended" | "lost"));
        over.or(told.clone().next()).unwrap_or("joinable")
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state(), "ended" | "lost" | "closed")
    }

    /// When it became joinable, Unix milliseconds.
    pub(super) fn began_at_ms(&self) -> Option<u64> {
        self.events.first().map(|(_, at_ms, _)| *at_ms)
    }

    fn over_event(&self) -> Option<&(&'static str, u64, String)> {
        self.events.iter().find(|(kind, ..)| matches!(*kind, "ended" | "lost" | "closed"))
    }

    /// A line of the list of matches.
    pub(super) fn line(&self) -> Value {
        let (ended_at_ms, reason) =
            self.over_event().map_or((None, ""), |(_, at_ms, why)| (Some(*at_ms), why.as_str()));
        json!({
            "match_id": self.match_id,
            "state": self.state(),
            "server": self.server_name,
            "players": self.roster.len(),
            "began_at_ms": self.began_at_ms(),
            "ended_at_ms": ended_at_ms,
            "reason": reason,
            "stats": self.stats.as_ref().map(stats),
        })
    }

    /// Everything that is known.
    pub(super) fn page(&self) -> Value {
        let mut page = self.line();
        page["trace_id"] = json!(self.trace_id);
        page["allocation_ms"] = json!((self.allocation_us > 0).then_some(self.allocation_us as f64 / 1_000.0));
        let player = |p: &RosterEntry| json!({ "player_id": p.player_id, "team": p.team, "name": p.name });
        page["roster"] = self.roster.iter().map(player).collect();
        let event =
            |(kind, at_ms, reason): &(&str, u64, String)| json!({ "kind": kind, "at_ms": at_ms, "reason": reason });
        page["events"] = self.events.iter().map(event).collect();
        page
    }
}

fn kind_name(kind: MatchEventKind) -> Option<&'static str> {
    match kind {
        MatchEventKind::Joinable => Some("joinable"),
        MatchEventKind::Playing => Some("playing"),
        MatchEventKind::Ended => Some("ended"),
        MatchEventKind::Lost => Some("lost"),
        MatchEventKind::Closed => Some("closed"),
        MatchEventKind::Unspecified => None,
    }
}

fn stats(stats: &MatchStats) -> Value {
    let ticks: Option<Histogram<u64>> = Deserializer::new().deserialize(&mut stats.tick_us.as_slice()).ok();
    let tick_ms = |quantile: f64| {
        let ticks = ticks.as_ref().filter(|ticks| !ticks.is_empty())?;
        Some(ticks.value_at_quantile(quantile) as f64 / 1_000.0)
    };
    let client_seconds = stats.client_ms as f64 / 1_000.0;
    json!({
        "ticks": stats.ticks,
        "tick_overruns": stats.tick_overruns,
        "ticks_skipped": stats.ticks_skipped,
        "tick_p50_ms": tick_ms(0.5),
        "tick_p99_ms": tick_ms(0.99),
        "bytes_per_client_s": (client_seconds > 0.0).then(|| stats.snapshot_bytes as f64 / client_seconds),
        "joins": stats.joins,
        "join_failures": stats.join_failures,
        "disconnects": stats.disconnects,
        "reconnects": stats.reconnects,
        "udp_clients": stats.udp_clients,
        "quic_clients": stats.quic_clients,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(cursor: u64, match_id: &str, kind: MatchEventKind) -> MatchEvent {
        MatchEvent {
            cursor,
            log_id: "log".into(),
            match_id: match_id.into(),
            kind: kind.into(),
            at_ms: cursor * 1_000,
            reason: "finished".into(),
            ..MatchEvent::default()
        }
    }

    #[test]
    fn a_match_is_told_from_joinable_to_closed_and_ended_says_more_than_closed() {
        let mut book = MatchBook::default();
        let stats = Some(MatchStats { ticks: 60, client_ms: 2_000, snapshot_bytes: 5_000, ..MatchStats::default() });
        book.add(MatchEvent { allocation_us: 2_500, trace_id: "t".into(), ..event(1, "a", MatchEventKind::Joinable) });
        assert!(!book.get("a").expect("known").is_over());
        book.add(MatchEvent { stats, ..event(2, "a", MatchEventKind::Ended) });
        book.add(event(3, "a", MatchEventKind::Closed));
        book.add(event(3, "a", MatchEventKind::Closed));
        let page = book.get("a").expect("known").page();
        assert_eq!((&page["state"], &page["allocation_ms"]), (&json!("ended"), &json!(2.5)));
        assert_eq!((&page["began_at_ms"], &page["ended_at_ms"]), (&json!(1_000), &json!(2_000)));
        assert_eq!((&page["stats"]["bytes_per_client_s"], &page["trace_id"]), (&json!(2_500.0), &json!("t")));
        assert_eq!(page["events"].as_array().map(Vec::len), Some(3), "a repeated event counts once: {page}");
        assert_eq!(book.over(9).len(), 1);
    }

    #[test]
    fn the_oldest_matches_fall_out_and_a_new_log_begins_its_cursors_anew() {
        let mut book = MatchBook::default();
        for n in 1..=MATCHES_MAX as u64 + 3 {
            book.add(event(n, &format!("{n}"), MatchEventKind::Ended));
        }
        assert_eq!((book.entries.len(), book.order.len()), (MATCHES_MAX, MATCHES_MAX));
        assert!(book.get("3").is_none() && book.get("4").is_some());
        book.add(MatchEvent { log_id: "next".into(), ..event(1, "new", MatchEventKind::Joinable) });
        assert!(book.get("new").is_some());
        assert_eq!(book.over(2)[0].match_id, format!("{}", MATCHES_MAX + 3));
    }
}
