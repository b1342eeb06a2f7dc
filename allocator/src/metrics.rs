//! Every metric of the allocator, defined once. Labels are bounded: never a match, a player or a server.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use protocol::pb::MatchEventKind;

use crate::core::census::Census;
use crate::core::link::LinkState;

const ALLOCATIONS: &str = "muster_allocator_allocations_total";
const ALLOCATION: &str = "muster_allocator_allocation_seconds";
const REFUSALS: &str = "muster_allocator_assign_refusals_total";
const SERVERS: &str = "muster_allocator_servers";
const FREE_ROOMS: &str = "muster_allocator_free_rooms";
const MATCHES: &str = "muster_allocator_matches";
const EVENTS: &str = "muster_allocator_match_events_total";
const WAITING: &str = "muster_allocator_waiting_calls";
const TOKENS: &str = "muster_allocator_join_tokens_total";
const LINKS_REFUSED: &str = "muster_allocator_links_refused_total";
const LINKS_DROPPED: &str = "muster_allocator_links_dropped_total";
const BAD_MESSAGES: &str = "muster_allocator_bad_messages_total";
const GHOSTS: &str = "muster_allocator_ghosts";
const EPOCH: &str = "muster_allocator_epoch";

/// Says what each metric means.
pub(crate) fn describe() {
    describe_counter!(ALLOCATIONS, "Allocate calls by outcome: placed, or the reason of the error");
    describe_histogram!(ALLOCATION, "Time from an Allocate call to Joinable");
    describe_counter!(REFUSALS, "Assign orders that a game server refused, by reason");
    describe_gauge!(SERVERS, "Game servers by link state: linked, suspect, lost");
    describe_gauge!(FREE_ROOMS, "Rooms that a new match could have now");
    describe_gauge!(MATCHES, "Matches by phase: held, assigning, joinable, playing, ended (result under way), over");
    describe_counter!(EVENTS, "Events in the match log by kind");
    describe_gauge!(WAITING, "Allocate calls that wait for a room");
    describe_counter!(TOKENS, "Requests for a join token by outcome");
    describe_counter!(LINKS_REFUSED, "Control links that were refused, by reason");
    describe_counter!(LINKS_DROPPED, "Control links that the allocator dropped, by reason");
    describe_counter!(BAD_MESSAGES, "Messages on control links that were not understood and ignored");
    describe_gauge!(EPOCH, "This leader's epoch; 0 while another replica leads");
    describe_gauge!(GHOSTS, "Game servers that the cluster shows as Allocated although no match is known there");
    // A counter that appears with its first event has not risen for Prometheus, so alarms would miss it.
    for kind in [MatchEventKind::Joinable, MatchEventKind::Lost] {
        counter!(EVENTS, "kind" => kind.as_str_name()).increment(0);
    }
}

/// An Allocate call was answered.
pub(crate) fn allocation(outcome: &'static str) {
    counter!(ALLOCATIONS, "outcome" => outcome).increment(1);
}

/// A match was placed.
pub(crate) fn placed(took: Duration) {
    histogram!(ALLOCATION).record(took.as_secs_f64());
}

/// A game server refused Assign.
pub(crate) fn assign_refused(reason: &'static str) {
    counter!(REFUSALS, "reason" => reason).increment(1);
}

/// An event was written into the match log.
pub(crate) fn event(kind: &'static str) {
    counter!(EVENTS, "kind" => kind).increment(1);
}

/// A join token was asked for.
pub(crate) fn join_token(outcome: &'static str) {
    counter!(TOKENS, "outcome" => outcome).increment(1);
}

/// A control link was refused.
pub(crate) fn link_refused(reason: &'static str) {
    counter!(LINKS_REFUSED, "reason" => reason).increment(1);
}

/// A control link was dropped.
pub(crate) fn link_dropped(reason: &'static str) {
    counter!(LINKS_DROPPED, "reason" => reason).increment(1);
}

/// A message on a control link was ignored.
pub(crate) fn bad_message() {
    counter!(BAD_MESSAGES).increment(1);
}

/// This process does not lead: what it counted while it did would stand beside the leader's figures.
pub(crate) fn standing_by() {
    census(0, &Census::default());
}

/// Everything as it stands.
#[expect(clippy::cast_precision_loss, reason = "gauges are f64, and counts stay far below 2^52")]
pub(crate) fn census(epoch: u64, census: &Census) {
    gauge!(EPOCH).set(epoch as f64);
    for (state, count) in LinkState::ALL.iter().zip(census.servers) {
        gauge!(SERVERS, "link" => state.label()).set(count as f64);
    }
    gauge!(FREE_ROOMS).set(census.free_rooms as f64);
    gauge!(GHOSTS).set(census.ghosts as f64);
    gauge!(WAITING).set(census.waiting as f64);
    let phases = [
        ("held", census.held),
        ("assigning", census.assigning),
        ("joinable", census.joinable),
        ("playing", census.playing),
        ("ended", census.ended),
        ("over", census.remembered),
    ];
    for (phase, count) in phases {
        gauge!(MATCHES, "phase" => phase).set(count as f64);
    }
}
