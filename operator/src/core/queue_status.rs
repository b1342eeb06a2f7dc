//! What the operator says of a queue.

use crds::{Conditions, MatchQueue, MatchQueueStatus};
use k8s_openapi::jiff::Timestamp;

/// The matchmaker's queue, as far as the status tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Tickets that wait.
    pub waiting_tickets: u32,
    /// Players that wait.
    pub waiting_players: u32,
    /// Matches that wait for a server.
    pub placing: u32,
    /// Median wait, milliseconds.
    pub wait_ms_p50: u32,
    /// 95th percentile, milliseconds.
    pub wait_ms_p95: u32,
}

/// Why the matchmaker does not serve a manifest as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// Generation of the manifest that it looked at.
    pub generation: i64,
    /// One word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// What the matchmaker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matchmaker<'a> {
    /// It was just asked for the first time, or has only just fallen silent: nothing new is said.
    Unknown,
    /// It does not answer.
    Silent,
    /// It answers.
    Serves {
        /// The queue as it serves it, and the generation of the manifest whose rules are in force; `None`: it has none.
        seen: Option<(i64, &'a Seen)>,
        /// What is wrong with the manifest.
        fault: Option<&'a Fault>,
    },
}

/// The new status, or `None` where there is nothing new to say.
pub fn status(
    queue: &MatchQueue,
    fleet_exists: bool,
    matchmaker: Matchmaker<'_>,
    now: Timestamp,
) -> Option<MatchQueueStatus> {
    let before = queue.status.clone().unwrap_or_default();
    let generation = queue.metadata.generation.unwrap_or(0);
    let mut conditions = Conditions::new(before.conditions.clone());
    let (seen, fault) = match matchmaker {
        Matchmaker::Unknown => return None,
        Matchmaker::Silent => (None, None),
        Matchmaker::Serves { seen, fault } => (seen, fault),
    };
    let (ready, reason, message) = if !fleet_exists {
        let fleet = &queue.spec.fleet;
        let message = format!("there is no GameFleet {fleet} in this namespace: make it, or change spec.fleet");
        (false, "FleetMissing", message)
    } else if matchmaker == Matchmaker::Silent {
        (false, "MatchmakerUnreachable", "the matchmaker does not answer; look at its pods and their logs".into())
    } else if let Some(fault) = fault {
        let served = if seen.is_some() { "; earlier rules stay in force" } else { "" };
        (false, fault.reason.as_str(), format!("{}{served}", fault.message))
    } else if seen.is_none_or(|(taken, _)| taken < generation) {
        (false, "NotTaken", "the matchmaker has not taken this manifest yet".into())
    } else {
        (true, "Served", "the matchmaker serves this queue".into())
    };
    conditions.set(now, generation, "Ready", ready.into(), (reason, message.clone()));
    let wrong = !ready && reason != "NotTaken";
    let (reason, message) = if wrong { (reason, message) } else { ("AsWished", String::new()) };
    conditions.set(now, generation, "Degraded", wrong.into(), (reason, message));
    let mut status = MatchQueueStatus { observed_generation: generation, conditions: conditions.into_vec(), ..before };
    if let Some((_, seen)) = seen {
        (status.waiting_players, status.waiting_tickets, status.placing) =
            (seen.waiting_players, seen.waiting_tickets, seen.placing);
        status.wait_seconds_p50 = seen.wait_ms_p50.div_ceil(1_000);
        status.wait_seconds_p95 = seen.wait_ms_p95.div_ceil(1_000);
    }
    (queue.status.as_ref() != Some(&status)).then_some(status)
}

/// Whether a new status differs in more than counts and waits: then it is written at once.
pub fn is_urgent(before: Option<&MatchQueueStatus>, status: &MatchQueueStatus) -> bool {
    before.is_none_or(|before| {
        (&before.conditions, before.observed_generation) != (&status.conditions, status.observed_generation)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn queue() -> MatchQueue {
        serde_json::from_value(json!({
            "apiVersion": "muster.dev/v1alpha1", "kind": "MatchQueue", "metadata": { "name": "ranked", "generation": 3 },
            "spec": { "teams": 2, "playersPerTeam": 4, "fleet": "arena" }
        }))
        .expect("a queue")
    }

    fn seen() -> Seen {
        Seen { waiting_players: 9, wait_ms_p95: 1_200, ..Seen::default() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn serves(generation: i64, seen: &Seen) -> Matchmaker<'_> {
        Matchmaker::Serves { seen: Some((generation, seen)), fault: None }
    }

    #[test]
    fn a_queue_that_is_served_says_so_once() {
        let (mut queue, seen) = (queue(), seen());
        let first = status(&queue, true, serves(3, &seen), at(1)).expect("new");
        assert_eq!((first.waiting_players, first.wait_seconds_p95, first.observed_generation), (9, 2, 3));
        assert!(Conditions::new(first.conditions.clone()).holds("Ready") && is_urgent(None, &first));
        queue.status = Some(first);
        assert_eq!(status(&queue, true, serves(3, &seen), at(100)), None);
        let fewer = Seen { waiting_players: 1, ..seen };
        let next = status(&queue, true, serves(3, &fewer), at(100)).expect("new");
        assert!(!is_urgent(queue.status.as_ref(), &next));
    }

    #[test]
    fn what_is_missing_is_named() {
        let (seen, absent) = (seen(), Matchmaker::Serves { seen: None, fault: None });
        let fault = Fault { generation: 3, reason: "NameTaken".into(), message: "queue ranked is taken".into() };
        let refused = Matchmaker::Serves { seen: Some((2, &seen)), fault: Some(&fault) };
        for (fleet, matchmaker, reason, degraded) in [
            (false, absent, "FleetMissing", true),
            (true, absent, "NotTaken", false),
            (true, serves(2, &seen), "NotTaken", false),
            (true, refused, "NameTaken", true),
            (true, Matchmaker::Silent, "MatchmakerUnreachable", true),
        ] {
            let status = status(&queue(), fleet, matchmaker, at(1)).expect("new");
            let conditions = Conditions::new(status.conditions);
            assert_eq!(conditions.get("Ready").expect("set").reason, reason);
            assert_eq!((conditions.holds("Ready"), conditions.holds("Degraded")), (false, degraded), "{reason}");
        }
        assert_eq!(status(&queue(), true, Matchmaker::Unknown, at(1)), None);
    }
}
