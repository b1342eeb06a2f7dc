//! Which events may go out at once, where each is acknowledged by itself.

use std::collections::HashMap;

use super::Event;

/// Splits events into rounds, each with at most one event of a subject: while one is under way, no later one of its subject is, so
/// one that is refused is not overtaken. The order within a round is that of the events; indexes into `events`.
pub fn rounds(events: &[Event]) -> Vec<Vec<usize>> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let round = seen.entry(&event.subject).or_default();
        if *round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[*round].push(index);
        *round += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(subjects: &[u8]) -> Vec<Event> {
        let event = |(at, subject): (usize, &u8)| Event {
            sequence: at as u64,
            id: at.to_string(),
            type_name: "match.ended".into(),
            version: 1,
            subject: subject.to_string(),
            data: "{}".into(),
            at_ms: 0,
        };
        subjects.iter().enumerate().map(event).collect()
    }

    proptest! {
        #[test]
        fn every_event_goes_out_once_and_after_the_earlier_ones_of_its_subject(subjects in prop::collection::vec(0_u8..5, 0..60)) {
            let events = events(&subjects);
            let rounds = rounds(&events);
            let mut all: Vec<usize> = rounds.iter().flatten().copied().collect();
            for round in &rounds {
                let mut of_round: Vec<&str> = round.iter().map(|at| events[*at].subject.as_str()).collect();
                of_round.sort_unstable();
                of_round.dedup();
                prop_assert_eq!(of_round.len(), round.len(), "one of a subject at a time");
            }
            for subject in 0..5_u8 {
                let order: Vec<usize> = all.iter().copied().filter(|at| events[*at].subject == subject.to_string()).collect();
                prop_assert!(order.is_sorted());
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..events.len()).collect::<Vec<_>>());
            let most = (0..5_u8).map(|subject| subjects.iter().filter(|one| **one == subject).count()).max();
            prop_assert_eq!(rounds.len(), most.unwrap_or(0), "and no more rounds than that takes");
        }
    }
}
