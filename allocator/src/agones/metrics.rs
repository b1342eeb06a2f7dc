//! Metrics of game servers that are given out as Agones' allocator does it. Labels are bounded.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::core::book::Counts;

const ALLOCATIONS: &str = "muster_allocator_agones_allocations_total";
const ALLOCATION: &str = "muster_allocator_agones_allocation_seconds";
const CONFLICTS: &str = "muster_allocator_agones_conflicts_total";
const UNCLAIMED: &str = "muster_allocator_agones_unclaimed_total";
const SERVERS: &str = "muster_allocator_agones_servers";
const WAITING: &str = "muster_allocator_agones_waiting_calls";
const CERTIFICATE: &str = "muster_allocator_agones_certificate_expires_seconds";

/// Says what each metric means.
pub(super) fn describe() {
    describe_counter!(ALLOCATIONS, "Requests for an Agones game server by outcome: allocated, repeated, or the error");
    describe_histogram!(ALLOCATION, "Time from such a request to the written GameServer");
    describe_counter!(CONFLICTS, "Writes of a GameServer that another writer was faster with");
    describe_counter!(UNCLAIMED, "Game servers that were given out while nobody was there any more to take them");
    describe_gauge!(SERVERS, "Agones game servers by state: ready, allocated, held (a write is under way)");
    describe_gauge!(WAITING, "Requests that wait for a game server");
    describe_gauge!(CERTIFICATE, "When the certificate of the drop-in expires, as Unix time");
}

pub(super) fn answered(outcome: &'static str) {
    counter!(ALLOCATIONS, "outcome" => outcome).increment(1);
}

pub(super) fn took(time: Duration) {
    histogram!(ALLOCATION).record(time.as_secs_f64());
}

pub(super) fn conflict() {
    counter!(CONFLICTS).increment(1);
}

pub(super) fn unclaimed() {
    counter!(UNCLAIMED).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "gauges are f64, and counts stay far below 2^52")]
pub(super) fn counts(counts: Counts) {
    for (state, count) in [("ready", counts.ready), ("allocated", counts.allocated), ("held", counts.held)] {
        gauge!(SERVERS, "state" => state).set(count as f64);
    }
    gauge!(WAITING).set(counts.waiting as f64);
}

pub(super) fn certificate_expires(unix_s: Option<i64>) {
    if let Some(unix_s) = unix_s {
        gauge!(CERTIFICATE).set(unix_s as f64);
    }
}
