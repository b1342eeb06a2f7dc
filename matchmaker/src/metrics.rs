//! Every metric of the matchmaker. Labels are queues (as they are configured) and fixed words; never players or matches.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::core::matchmaker::QueueStatus;
use crate::core::pass::NewMatch;
use crate::core::ticket::Ticket;

const WAITING_TICKETS: &str = "muster_matchmaker_waiting_tickets";
const WAITING_PLAYERS: &str = "muster_matchmaker_waiting_players";
const PLACING_MATCHES: &str = "muster_matchmaker_placing_matches";
const MATCHES_MADE: &str = "muster_matchmaker_matches_made_total";
const WAIT: &str = "muster_matchmaker_wait_seconds";
const PASS: &str = "muster_matchmaker_search_pass_seconds";
const ATTEMPTS: &str = "muster_matchmaker_allocation_attempts_total";
const TICKETS_CREATED: &str = "muster_matchmaker_tickets_created_total";
const TICKETS_ENDED: &str = "muster_matchmaker_tickets_ended_total";
const RATING_SPREAD: &str = "muster_matchmaker_rating_spread_points";
const TEAM_DIFFERENCE: &str = "muster_matchmaker_team_difference_points";
const REFUSED: &str = "muster_matchmaker_requests_refused_total";
const WATCHERS: &str = "muster_matchmaker_watchers";

/// Describes all metrics to the recorder.
pub(crate) fn describe() {
    describe_gauge!(WAITING_TICKETS, "Tickets that wait for a match.");
    describe_gauge!(WAITING_PLAYERS, "Players that wait for a match.");
    describe_gauge!(PLACING_MATCHES, "Matches for which a server is being found.");
    describe_counter!(MATCHES_MADE, "Matches that were found, whether they could be placed or not.");
    describe_histogram!(WAIT, Unit::Seconds, "Time from a ticket's creation to its assignment.");
    describe_histogram!(PASS, Unit::Seconds, "Time of one search pass over all queues.");
    describe_counter!(ATTEMPTS, "Calls to the allocator, by call and outcome.");
    describe_counter!(TICKETS_CREATED, "Tickets that were created.");
    describe_counter!(TICKETS_ENDED, "Tickets that ended, by final state.");
    describe_histogram!(RATING_SPREAD, "Distance between the highest and the lowest rating of a match's tickets.");
    describe_histogram!(TEAM_DIFFERENCE, "Distance between a match's strongest and weakest team, per player.");
    describe_counter!(REFUSED, "Requests that were refused, by gRPC code.");
    describe_gauge!(WATCHERS, "Open streams of ticket events.");
}

/// The state of the queues after a pass.
pub(crate) fn pass(took: Duration, queues: &[QueueStatus]) {
    histogram!(PASS).record(took.as_secs_f64());
    for queue in queues {
        let name = || queue.config.name.clone();
        gauge!(WAITING_TICKETS, "queue" => name()).set(f64::from(queue.waiting_tickets));
        gauge!(WAITING_PLAYERS, "queue" => name()).set(f64::from(queue.waiting_players));
        gauge!(PLACING_MATCHES, "queue" => name()).set(f64::from(queue.placing_matches));
    }
}

/// A queue is no longer served: nobody waits in it.
pub(crate) fn queue_removed(queue: &str) {
    for name in [WAITING_TICKETS, WAITING_PLAYERS, PLACING_MATCHES] {
        gauge!(name, "queue" => queue.to_owned()).set(0.0);
    }
}

/// A match was found.
pub(crate) fn match_made(new: &NewMatch) {
    let queue = || new.queue.name.clone();
    counter!(MATCHES_MADE, "queue" => queue()).increment(1);
    histogram!(RATING_SPREAD, "queue" => queue()).record(new.rating_spread);
    histogram!(TEAM_DIFFERENCE, "queue" => queue()).record(new.team_difference);
}

/// A ticket was created.
pub(crate) fn ticket_created(ticket: &Ticket) {
    counter!(TICKETS_CREATED, "queue" => ticket.request.queue.clone()).increment(1);
}

/// A ticket ended.
pub(crate) fn ticket_ended(ticket: &Ticket) {
    let (queue, state) = (ticket.request.queue.clone(), ticket.state().label());
    if state == "completed" {
        histogram!(WAIT, "queue" => queue.clone()).record(ticket.waited_ms(ticket.updated_ms) as f64 / 1_000.0);
    }
    counter!(TICKETS_ENDED, "queue" => queue, "state" => state).increment(1);
}

/// The allocator answered a call, or did not.
pub(crate) fn attempt(call: &'static str, outcome: &'static str) {
    counter!(ATTEMPTS, "call" => call, "outcome" => outcome).increment(1);
}

/// A request was refused.
pub(crate) fn refused(code: tonic::Code) {
    counter!(REFUSED, "code" => format!("{code:?}")).increment(1);
}

/// A watcher came (1) or went (-1).
pub(crate) fn watchers(change: f64) {
    gauge!(WATCHERS).increment(change);
}
