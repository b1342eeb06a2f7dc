//! Match updates on their way to the allocator: numbered, in order, repeated until acknowledged.

use std::collections::BTreeMap;

use protocol::pb;

/// An update that is not acknowledged within this time is sent again over the same link.
pub const REPEAT_MS: u64 = 2_000;

#[derive(Debug)]
struct Pending {
    update: pb::MatchUpdate,
    sent_at_ms: Option<u64>,
}

/// Updates that the allocator has not recorded yet. Bounded by nature: at most four phases of each hosted match, and
/// without an allocator no new match comes.
#[derive(Debug, Default)]
pub struct Updates {
    last: u64,
    pending: BTreeMap<u64, Pending>,
}

impl Updates {
    /// Adds an update and gives it the next number, from 1.
    pub fn push(&mut self, update: pb::MatchUpdate) {
        self.last += 1;
        let update = pb::MatchUpdate { number: self.last, ..update };
        self.pending.insert(self.last, Pending { update, sent_at_ms: None });
    }

    /// What has to be sent now, oldest first: what never was, and what was not acknowledged in time.
    pub fn due(&mut self, now_ms: u64) -> Vec<pb::MatchUpdate> {
        let late = |sent: u64| now_ms.saturating_sub(sent) >= REPEAT_MS;
        let due = self.pending.values_mut().filter(|pending| pending.sent_at_ms.is_none_or(late));
        let send = due.map(|pending| {
            pending.sent_at_ms = Some(now_ms);
            pending.update.clone()
        });
        send.collect()
    }

    /// The allocator has recorded this update.
    pub fn ack(&mut self, number: u64) {
        self.pending.remove(&number);
    }

    /// The link was cut: whatever was under way may be lost.
    pub fn unsend(&mut self) {
        self.pending.values_mut().for_each(|pending| pending.sent_at_ms = None);
    }

    /// Whether everything was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(reason: &str) -> pb::MatchUpdate {
        pb::MatchUpdate { reason: reason.into(), ..Default::default() }
    }

    fn numbers(updates: &[pb::MatchUpdate]) -> Vec<u64> {
        updates.iter().map(|update| update.number).collect()
    }

    #[test]
    fn updates_are_repeated_in_order_until_each_is_acknowledged() {
        let mut updates = Updates::default();
        updates.push(update("a"));
        updates.push(update("b"));
        assert_eq!(numbers(&updates.due(0)), [1, 2]);
        assert!(updates.due(REPEAT_MS - 1).is_empty());
        updates.push(update("c"));
        assert_eq!(numbers(&updates.due(REPEAT_MS - 1)), [3]);
        assert_eq!(numbers(&updates.due(REPEAT_MS)), [1, 2]);
        updates.ack(2);
        updates.ack(9);
        updates.unsend();
        assert_eq!(numbers(&updates.due(REPEAT_MS + 1)), [1, 3]);
        updates.ack(1);
        updates.ack(3);
        assert!(updates.is_empty());
    }
}
