//! Every metric of a game server, defined once.
//!
//! Ticks are measured per phase: `take` (what clients and the host said), the phases of [`game::Phase`], and `send`
//! (handing the output to the I/O thread).

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use netcode::endpoint::{Carrier, Counters, DropReason};
use protocol::wire::Refusal;

const TICKS: &str = "muster_gameserver_ticks_total";
const OVERRUNS: &str = "muster_gameserver_tick_overruns_total";
const SKIPPED: &str = "muster_gameserver_ticks_skipped_total";
const PHASE: &str = "muster_gameserver_tick_phase_seconds";
const TICK: &str = "muster_gameserver_tick_seconds";
const DROPPED: &str = "muster_gameserver_queue_dropped_total";
const MATCHES: &str = "muster_gameserver_matches";
const MATCHES_ENDED: &str = "muster_gameserver_matches_ended_total";
const PLAYERS: &str = "muster_gameserver_players";
const SESSIONS: &str = "muster_gameserver_sessions";
const DATAGRAMS_DROPPED: &str = "muster_gameserver_datagrams_dropped_total";
const DATAGRAMS: &str = "muster_gameserver_datagrams_total";
const BYTES: &str = "muster_gameserver_udp_bytes_total";
const REFUSED: &str = "muster_gameserver_joins_refused_total";
const RESUMED: &str = "muster_gameserver_joins_resumed_total";
const ACCEPTED: &str = "muster_gameserver_joins_accepted_total";
const SOCKET_ERRORS: &str = "muster_gameserver_socket_errors_total";
const LINK_CLOSED: &str = "muster_gameserver_link_closed_total";
const LINK_UP: &str = "muster_gameserver_link_up";
const ASSIGNS: &str = "muster_gameserver_assigns_total";
const RESULTS: &str = "muster_gameserver_results_total";
const RESULTS_PENDING: &str = "muster_gameserver_results_pending";
const RESULT_RETRIES: &str = "muster_gameserver_result_retries_total";
const DRAIN_DEADLINE: &str = "muster_gameserver_drain_deadline_seconds";
const CERTIFICATE_EXPIRES: &str = "muster_gameserver_certificate_expires_seconds";

/// Names and explains every metric to the recorder.
pub fn describe() {
    describe_counter!(TICKS, "Ticks run");
    describe_counter!(OVERRUNS, "Ticks that took longer than their budget");
    describe_counter!(SKIPPED, "Deadlines given up because the room was too late to catch up");
    describe_histogram!(PHASE, Unit::Seconds, "Time of one phase of a tick");
    describe_histogram!(TICK, Unit::Seconds, "Time of a whole tick");
    describe_counter!(DROPPED, "What a full queue between the I/O thread and a room dropped, by queue");
    describe_gauge!(MATCHES, "Matches hosted");
    describe_counter!(MATCHES_ENDED, "Matches that ended, by how");
    describe_gauge!(PLAYERS, "Players connected");
    describe_gauge!(SESSIONS, "Sessions of the endpoint, half-open ones included");
    describe_counter!(DATAGRAMS_DROPPED, "Datagrams dropped, by reason");
    describe_counter!(DATAGRAMS, "Datagrams, by direction");
    describe_counter!(BYTES, Unit::Bytes, "UDP payload, by direction");
    describe_counter!(REFUSED, "Handshakes refused, by reason");
    describe_counter!(ACCEPTED, "Handshakes that ended with a session");
    describe_counter!(RESUMED, "Handshakes by a resume ticket that ended with a session");
    describe_counter!(SOCKET_ERRORS, "Datagrams that the operating system did not take or give, by direction");
    describe_counter!(LINK_CLOSED, "Control links that ended");
    describe_gauge!(LINK_UP, "Whether the allocator has answered Register over the link that stands");
    describe_counter!(ASSIGNS, "Answers to Assign, by answer");
    describe_counter!(RESULTS, "Results, by what became of them");
    describe_gauge!(RESULTS_PENDING, "Results that metagame has not answered for good yet");
    describe_gauge!(
        DRAIN_DEADLINE,
        "When a drain gives up the matches and results that are left, as Unix time; 0 without a drain"
    );
    describe_gauge!(CERTIFICATE_EXPIRES, "When the certificate for QUIC expires, as Unix time");
    describe_counter!(RESULT_RETRIES, "Deliveries of a result that have to be repeated");
    begin_at_zero();
}

/// A counter that appears with its first event has not risen for Prometheus, so alarms would miss it.
fn begin_at_zero() {
    counter!(MATCHES_ENDED, "how" => "failed").increment(0);
    counter!(RESULTS, "what" => "rejected").increment(0);
}

/// A tick has run.
pub(crate) fn tick(whole: Duration, overrun: bool) {
    counter!(TICKS).increment(1);
    counter!(OVERRUNS).increment(u64::from(overrun));
    histogram!(TICK).record(whole);
}

/// One phase of a tick has run.
pub(crate) fn tick_phase(phase: &'static str, time: Duration) {
    histogram!(PHASE, "phase" => phase).record(time);
}

/// Deadlines were given up.
pub(crate) fn ticks_skipped(ticks: u64) {
    counter!(SKIPPED).increment(ticks);
}

/// A full queue dropped something: `inbox` or `outbox`.
pub(crate) fn queue_dropped(queue: &'static str, dropped: u64) {
    counter!(DROPPED, "queue" => queue).increment(dropped);
}

/// Matches hosted now.
pub(crate) fn matches(matches: usize) {
    gauge!(MATCHES).set(matches as f64);
}

/// A match has ended: `finished`, `aborted` or `failed`.
pub(crate) fn match_ended(how: &'static str) {
    counter!(MATCHES_ENDED, "how" => how).increment(1);
}

/// Players connected now.
pub(crate) fn players(players: usize) {
    gauge!(PLAYERS).set(players as f64);
}

/// What the endpoint has counted until now.
pub(crate) fn endpoint(counters: &Counters, sessions: usize) {
    gauge!(SESSIONS).set(sessions as f64);
    for carrier in Carrier::ALL {
        let (part, label) = (counters.carrier(carrier), carrier.label());
        counter!(DATAGRAMS, "direction" => "in", "carrier" => label).absolute(part.datagrams_in);
        counter!(DATAGRAMS, "direction" => "out", "carrier" => label).absolute(part.datagrams_out);
        counter!(BYTES, "direction" => "in", "carrier" => label).absolute(part.bytes_in);
        counter!(BYTES, "direction" => "out", "carrier" => label).absolute(part.bytes_out);
        counter!(ACCEPTED, "carrier" => label).absolute(part.handshakes_accepted);
    }
    counter!(RESUMED).absolute(counters.resumed);
    for reason in DropReason::ALL {
        counter!(DATAGRAMS_DROPPED, "reason" => reason.label()).absolute(counters.dropped(reason));
    }
    for refusal in Refusal::ALL {
        counter!(REFUSED, "reason" => refusal.label()).absolute(counters.refused(refusal));
    }
}

/// An agent lets a client of a game in another language in.
pub(crate) fn join_accepted_foreign() {
    counter!(ACCEPTED, "carrier" => "foreign").increment(1);
}

/// An agent refuses one.
pub(crate) fn join_refused(refusal: Refusal) {
    counter!(REFUSED, "reason" => refusal.label()).increment(1);
}

/// The operating system refused a datagram: `in` or `out`.
pub(crate) fn socket_error(direction: &'static str) {
    counter!(SOCKET_ERRORS, "direction" => direction).increment(1);
}

/// A control link has ended.
pub(crate) fn link_closed() {
    counter!(LINK_CLOSED).increment(1);
}

/// Whether the control link is up.
pub(crate) fn link_up(up: bool) {
    gauge!(LINK_UP).set(f64::from(u8::from(up)));
}

/// An Assign was answered: `joinable`, or the name of the refusal.
pub(crate) fn assign(answer: &'static str) {
    counter!(ASSIGNS, "answer" => answer).increment(1);
}

/// What became of a result: `acknowledged`, `rejected` or `spooled`.
pub(crate) fn result(what: &'static str) {
    counter!(RESULTS, "what" => what).increment(1);
}

/// Deliveries of this process's own results that are under way.
pub(crate) fn results_pending(results: usize) {
    gauge!(RESULTS_PENDING).set(results as f64);
}

/// A delivery has to be repeated.
pub(crate) fn result_retried() {
    counter!(RESULT_RETRIES).increment(1);
}

/// `None`: no drain.
pub(crate) fn drain_deadline(unix_ms: Option<u64>) {
    gauge!(DRAIN_DEADLINE).set((unix_ms.unwrap_or(0) / 1_000) as f64);
}

pub(crate) fn certificate_expires(unix_s: u64) {
    gauge!(CERTIFICATE_EXPIRES).set(unix_s as f64);
}
