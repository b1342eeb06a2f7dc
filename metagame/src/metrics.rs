//! Every metric of metagame. Labels are of bounded kinds: routes, statuses, outcomes; never a player or a match.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::core::webhook::Verdict;
use crate::db::Domain;
use crate::events::Handed;
use crate::store::{Backlog, EventBacklog};

const REQUESTS: &str = "muster_metagame_requests_total";
const REQUEST_SECONDS: &str = "muster_metagame_request_seconds";
const LOGINS: &str = "muster_metagame_logins_total";
const PASSWORD_LOGINS: &str = "muster_metagame_password_logins_total";
const HASHING_WAIT_SECONDS: &str = "muster_metagame_hashing_wait_seconds";
const MAILS: &str = "muster_metagame_mails_total";
const REFRESHES: &str = "muster_metagame_refreshes_total";
const TICKETS: &str = "muster_metagame_tickets_total";
const RESULTS: &str = "muster_metagame_results_total";
const MATCH_REPORTS: &str = "muster_metagame_match_reports_total";
const JOIN_TOKENS: &str = "muster_metagame_join_tokens_total";
const SUBSCRIBERS: &str = "muster_metagame_ticket_subscribers";
const GATEWAY_SESSIONS: &str = "muster_metagame_gateway_sessions";
const GATEWAY_BEGUN: &str = "muster_metagame_gateway_begun_total";
const GATEWAY_NEWS: &str = "muster_metagame_gateway_news_total";
const GATEWAY_REFUSED: &str = "muster_metagame_gateway_refused_total";
const ROOM_MESSAGES_LOST: &str = "muster_metagame_room_messages_lost_total";
const RULES: &str = "muster_metagame_rules_total";
const TELEMETRY: &str = "muster_metagame_telemetry_events_total";
const TELEMETRY_WAITING: &str = "muster_metagame_telemetry_waiting_bytes";
const DATABASE_ERRORS: &str = "muster_metagame_database_errors_total";
const DATABASE_WAIT_SECONDS: &str = "muster_metagame_database_wait_seconds";
const DATABASE_RETRIES: &str = "muster_metagame_database_retries_total";
const DATABASE_GROUP: &str = "muster_metagame_database_group_size";
const WATCH_RESTARTS: &str = "muster_metagame_watch_restarts_total";
const MAINTENANCE: &str = "muster_metagame_maintenance";
const WEBHOOK_TRIES: &str = "muster_metagame_webhook_tries_total";
const WEBHOOK_PENDING: &str = "muster_metagame_webhook_pending";
const WEBHOOK_OLDEST: &str = "muster_metagame_webhook_oldest_pending_seconds";
const WEBHOOK_DEAD: &str = "muster_metagame_webhook_dead";
const EVENTS_HANDED: &str = "muster_metagame_events_handed_total";
const EVENTS_SECONDS: &str = "muster_metagame_events_hand_seconds";
const EVENTS_PENDING: &str = "muster_metagame_events_pending";
const EVENTS_OLDEST: &str = "muster_metagame_events_oldest_pending_seconds";
const LIMITED: &str = "muster_metagame_limited_total";
const RANKS_SEASONS: &str = "muster_metagame_ranks_seasons";
const RANKS_LOADED: &str = "muster_metagame_ranks_load_seconds";
const RANKS_FOLLOWED: &str = "muster_metagame_ranks_followed_total";
const PAYMENT_EVENTS: &str = "muster_metagame_payment_events_total";
const PAYMENT_SESSIONS: &str = "muster_metagame_payment_session_failures_total";
const PAYMENT_ORDERS: &str = "muster_metagame_payment_orders";
const REDIS_CALLS: &str = "muster_metagame_redis_calls_total";
const REDIS_SECONDS: &str = "muster_metagame_redis_seconds";
const REDIS_UP: &str = "muster_metagame_redis_up";
const OUTGOING_CALLS: &str = "muster_metagame_outgoing_calls_total";
const OUTGOING_SECONDS: &str = "muster_metagame_outgoing_seconds";
const OUTGOING_UP: &str = "muster_metagame_outgoing_up";

pub(crate) fn describe() {
    describe_counter!(REQUESTS, "HTTP requests by method, route and status");
    describe_histogram!(REQUEST_SECONDS, "Seconds until the head of the response, by method and route");
    describe_counter!(LOGINS, "Logins by outcome: created, known");
    describe_counter!(PASSWORD_LOGINS, "Logins by password, by outcome: right, wrong");
    describe_histogram!(HASHING_WAIT_SECONDS, "Seconds that passwords waited for a thread that hashes them");
    describe_counter!(MAILS, "Mails by outcome: sent, failed, nobody (an address without an account)");
    describe_counter!(REFRESHES, "Refresh tokens presented, by outcome: rotated, reused, gone, forged");
    describe_counter!(TICKETS, "Tickets asked for, by outcome");
    describe_counter!(RESULTS, "Match results received, by outcome");
    describe_counter!(MATCH_REPORTS, "Match events from the allocator, by kind and whether they changed anything");
    describe_counter!(JOIN_TOKENS, "Join tokens asked for, by outcome");
    describe_gauge!(SUBSCRIBERS, "Open streams of ticket events");
    describe_gauge!(GATEWAY_SESSIONS, "Sessions of the realtime gateway, those that wait for a resume included");
    describe_counter!(GATEWAY_NEWS, "News between gateways, by outcome: said, unsaid, given_up, heard, unknown");
    describe_counter!(
        GATEWAY_BEGUN,
        "Connections to the gateway, by outcome: opened, resumed, resynced, moved (from another gateway)"
    );
    describe_counter!(
        GATEWAY_REFUSED,
        "Connections to the gateway refused, by why: silent, first_message, origin, full, handshake"
    );
    describe_counter!(ROOM_MESSAGES_LOST, "Messages of rooms that members did not take in time");
    describe_counter!(DATABASE_ERRORS, "Use cases that failed in the database, by kind");
    describe_histogram!(
        DATABASE_WAIT_SECONDS,
        "Seconds that use cases waited for a connection because all were in use, by domain"
    );
    describe_counter!(
        DATABASE_RETRIES,
        "Use cases that were run again, by domain and kind: busy (met another), unavailable"
    );
    describe_histogram!(
        DATABASE_GROUP,
        "Use cases that share a commit: in the embedded database, and logins and profiles in PostgreSQL"
    );
    describe_counter!(WATCH_RESTARTS, "Watch streams that broke and were opened again, by peer");
    describe_gauge!(MAINTENANCE, "1 while maintenance keeps new tickets out");
    describe_counter!(LIMITED, "Requests refused to protect the service, by limit");
    describe_gauge!(RANKS_SEASONS, "Seasons of leaderboards in memory");
    describe_histogram!(
        RANKS_LOADED,
        "Seconds that reading a season of a leaderboard took, by where to: memory, redis"
    );
    describe_counter!(RANKS_FOLLOWED, "Changed entries of leaderboards that were found by following the table");
    describe_payments();
    describe_others();
    describe_events();
    // A counter that appears with its first event has not risen for Prometheus, so alarms would miss it.
    counter!(RESULTS, "outcome" => "conflict").increment(0);
    for kind in ["busy", "unavailable", "unknown", "failed", "unreadable"] {
        counter!(DATABASE_ERRORS, "kind" => kind).increment(0);
    }
    describe_studio();
}

fn describe_payments() {
    describe_counter!(
        PAYMENT_EVENTS,
        "Events of the payment provider by outcome: done, known, before, waits, missed (no webhook told of it), failed (the \
         database), other, other_mode, unsigned, unreadable"
    );
    describe_counter!(
        PAYMENT_SESSIONS,
        "Orders for which the payment provider made no session, by why: unanswered, later, failed"
    );
    describe_gauge!(
        PAYMENT_ORDERS,
        "Orders that somebody should look at, by why: overdue (the provider has not said what became of it), pending (the money \
         has been on its way for two weeks), mismatched (what was paid is not the price)"
    );
    for outcome in ["missed", "failed", "unsigned", "unreadable"] {
        counter!(PAYMENT_EVENTS, "outcome" => outcome).increment(0);
    }
}

/// Those that metagame asks.
fn describe_others() {
    describe_counter!(
        REDIS_CALLS,
        "Calls to Redis by part and outcome: done, refused, away, skipped (it was away a moment ago)"
    );
    describe_histogram!(REDIS_SECONDS, "Seconds that calls to Redis took, by part");
    describe_counter!(
        OUTGOING_CALLS,
        "Calls to others, by destination and outcome: 2xx to 5xx, unreachable, unanswered, too_long, skipped, busy"
    );
    describe_histogram!(OUTGOING_SECONDS, "Seconds until an answer was read whole, by destination");
    describe_gauge!(OUTGOING_UP, "1 while a destination answers, 0 while it is taken to be gone");
    describe_gauge!(REDIS_UP, "1 while Redis answers; absent where none is configured");
}

/// What a studio adds of its own.
fn describe_studio() {
    describe_counter!(
        RULES,
        "Acts that the studio's own rules decided, by rule, act and outcome: refused, allowed, down_allowed, down_refused"
    );
    describe_counter!(
        TELEMETRY,
        "Reports of the game by outcome: kept, refused, nobody (an erased or unknown player); lost: no_room, day_full, failed, at_end, before (by the reporter)"
    );
    describe_gauge!(TELEMETRY_WAITING, "Memory of reports of the game that wait to be written");
    for outcome in ["no_room", "day_full", "failed", "at_end"] {
        counter!(TELEMETRY, "outcome" => outcome).increment(0);
    }
}

fn describe_events() {
    describe_counter!(
        WEBHOOK_TRIES,
        "Tries to tell a webhook of an event, by endpoint and outcome: delivered, failed, gone"
    );
    describe_gauge!(WEBHOOK_PENDING, "Events that a webhook is still to be told of, by endpoint");
    describe_gauge!(WEBHOOK_OLDEST, "Age in seconds of the oldest of these, by endpoint; 0 if there is none");
    describe_gauge!(WEBHOOK_DEAD, "Events that were given up, by endpoint");
    describe_counter!(
        EVENTS_HANDED,
        "Events that a sink (bus, webhooks) has taken, and batches that it did not take whole because it was away or refused, by outcome"
    );
    describe_histogram!(EVENTS_SECONDS, "Seconds until a sink has answered for a batch of events, by sink");
    describe_gauge!(EVENTS_PENDING, "Events that wait in the outbox for a sink, counted up to 100,000");
    describe_gauge!(EVENTS_OLDEST, "Age in seconds of the first of these, by sink; 0 if there is none");
}

pub(crate) fn gateway_sessions(count: usize) {
    gauge!(GATEWAY_SESSIONS).set(count as f64);
}

pub(crate) fn gateway_news(outcome: &'static str, count: u64) {
    counter!(GATEWAY_NEWS, "outcome" => outcome).increment(count);
}

pub(crate) fn gateway_begun(outcome: &'static str) {
    counter!(GATEWAY_BEGUN, "outcome" => outcome).increment(1);
}

pub(crate) fn gateway_refused(why: &'static str) {
    counter!(GATEWAY_REFUSED, "why" => why).increment(1);
}

pub(crate) fn room_messages_lost(count: usize) {
    if count > 0 {
        counter!(ROOM_MESSAGES_LOST).increment(count as u64);
    }
}

/// Rules are named by the studio, so they are few.
pub(crate) fn rule(rule: &str, act: &'static str, outcome: &'static str) {
    counter!(RULES, "rule" => rule.to_owned(), "act" => act, "outcome" => outcome).increment(1);
}

pub(crate) fn telemetry(outcome: &'static str, count: usize) {
    if count > 0 {
        counter!(TELEMETRY, "outcome" => outcome).increment(count as u64);
    }
}

pub(crate) fn telemetry_waiting(bytes: usize) {
    gauge!(TELEMETRY_WAITING).set(bytes as f64);
}

pub(crate) fn request(method: &'static str, route: &str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status.to_string()).increment(1);
    histogram!(REQUEST_SECONDS, "method" => method, "route" => route).record(took.as_secs_f64());
}

pub(crate) fn login(created: bool) {
    counter!(LOGINS, "outcome" => if created { "created" } else { "known" }).increment(1);
}

pub(crate) fn password_login(outcome: &'static str) {
    counter!(PASSWORD_LOGINS, "outcome" => outcome).increment(1);
}

pub(crate) fn hashing_wait(took: Duration) {
    histogram!(HASHING_WAIT_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn mail(outcome: &'static str) {
    counter!(MAILS, "outcome" => outcome).increment(1);
}

pub(crate) fn refresh(outcome: &'static str) {
    counter!(REFRESHES, "outcome" => outcome).increment(1);
}

pub(crate) fn ticket(outcome: &'static str) {
    counter!(TICKETS, "outcome" => outcome).increment(1);
}

pub(crate) fn result(outcome: &'static str) {
    counter!(RESULTS, "outcome" => outcome).increment(1);
}

pub(crate) fn match_report(kind: &'static str, changed: bool) {
    let changed = if changed { "yes" } else { "no" };
    counter!(MATCH_REPORTS, "kind" => kind, "changed" => changed).increment(1);
}

pub(crate) fn join_token(outcome: &'static str) {
    counter!(JOIN_TOKENS, "outcome" => outcome).increment(1);
}

pub(crate) fn subscribers(open: usize) {
    gauge!(SUBSCRIBERS).set(open as f64);
}

pub(crate) fn database_error(kind: &'static str) {
    counter!(DATABASE_ERRORS, "kind" => kind).increment(1);
}

pub(crate) fn database_wait(domain: Domain, took: Duration) {
    histogram!(DATABASE_WAIT_SECONDS, "domain" => domain.name()).record(took.as_secs_f64());
}

pub(crate) fn database_retry(domain: Domain, kind: &'static str) {
    counter!(DATABASE_RETRIES, "domain" => domain.name(), "kind" => kind).increment(1);
}

pub(crate) fn database_group(use_cases: usize) {
    histogram!(DATABASE_GROUP).record(use_cases as f64);
}

pub(crate) fn watch_restart(peer: &'static str) {
    counter!(WATCH_RESTARTS, "peer" => peer).increment(1);
}

pub(crate) fn maintenance(is_on: bool) {
    gauge!(MAINTENANCE).set(f64::from(u8::from(is_on)));
}

pub(crate) fn limited(limit: &'static str) {
    counter!(LIMITED, "limit" => limit).increment(1);
}

/// Endpoints are named by the settings, so their names are few.
pub(crate) fn webhook_try(endpoint: &str, verdict: &Verdict) {
    let outcome = match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Failed { .. } => "failed",
        Verdict::Gone => "gone",
    };
    counter!(WEBHOOK_TRIES, "endpoint" => endpoint.to_owned(), "outcome" => outcome).increment(1);
}

pub(crate) fn webhook_backlog(backlog: &Backlog, now_ms: u64) {
    let endpoint = backlog.endpoint.clone();
    let age_ms = backlog.oldest_pending_at_ms.map_or(0, |at_ms| now_ms.saturating_sub(at_ms));
    gauge!(WEBHOOK_PENDING, "endpoint" => endpoint.clone()).set(backlog.pending as f64);
    gauge!(WEBHOOK_OLDEST, "endpoint" => endpoint.clone()).set(age_ms as f64 / 1_000.0);
    gauge!(WEBHOOK_DEAD, "endpoint" => endpoint).set(backlog.dead as f64);
}

/// Sinks are named by the code. A counter that appears with its first event has not risen for Prometheus.
pub(crate) fn event_sink(sink: &'static str) {
    for outcome in ["taken", "away", "refused"] {
        counter!(EVENTS_HANDED, "sink" => sink, "outcome" => outcome).increment(0);
    }
}

pub(crate) fn events_handed(sink: &'static str, handed: &Handed, took: Duration) {
    counter!(EVENTS_HANDED, "sink" => sink, "outcome" => "taken").increment(handed.taken.len() as u64);
    if let Some(fault) = &handed.fault {
        counter!(EVENTS_HANDED, "sink" => sink, "outcome" => fault.name()).increment(1);
    }
    histogram!(EVENTS_SECONDS, "sink" => sink).record(took.as_secs_f64());
}

pub(crate) fn event_backlog(sink: &'static str, backlog: &EventBacklog, now_ms: u64) {
    let age_ms = backlog.oldest_at_ms.map_or(0, |at_ms| now_ms.saturating_sub(at_ms));
    gauge!(EVENTS_PENDING, "sink" => sink).set(backlog.pending as f64);
    gauge!(EVENTS_OLDEST, "sink" => sink).set(age_ms as f64 / 1_000.0);
}

/// Parts are named by the code, so they are few. Without a time nobody was asked.
pub(crate) fn redis_call(part: &'static str, outcome: &'static str, took: Option<Duration>) {
    counter!(REDIS_CALLS, "part" => part, "outcome" => outcome).increment(1);
    if let Some(took) = took {
        histogram!(REDIS_SECONDS, "part" => part).record(took.as_secs_f64());
    }
}

pub(crate) fn redis_up(is_up: bool) {
    gauge!(REDIS_UP).set(f64::from(u8::from(is_up)));
}

/// Destinations are named by the code and by settings, so they are few. Without a time nobody was asked.
pub(crate) fn outgoing_call(destination: &str, outcome: &'static str, took: Option<Duration>) {
    counter!(OUTGOING_CALLS, "destination" => destination.to_owned(), "outcome" => outcome).increment(1);
    if let Some(took) = took {
        histogram!(OUTGOING_SECONDS, "destination" => destination.to_owned()).record(took.as_secs_f64());
    }
}

pub(crate) fn outgoing_up(destination: &str, is_up: bool) {
    gauge!(OUTGOING_UP, "destination" => destination.to_owned()).set(f64::from(u8::from(is_up)));
}

pub(crate) fn ranks_seasons(count: usize) {
    gauge!(RANKS_SEASONS).set(count as f64);
}

pub(crate) fn ranks_loaded(to: &'static str, took: Duration) {
    histogram!(RANKS_LOADED, "to" => to).record(took.as_secs_f64());
}

pub(crate) fn payment_event(outcome: &'static str) {
    counter!(PAYMENT_EVENTS, "outcome" => outcome).increment(1);
}

pub(crate) fn payment_orders(why: &'static str, count: u64) {
    gauge!(PAYMENT_ORDERS, "why" => why).set(count as f64);
}

pub(crate) fn payment_session(why: &'static str) {
    counter!(PAYMENT_SESSIONS, "why" => why).increment(1);
}

pub(crate) fn ranks_followed(entries: usize) {
    counter!(RANKS_FOLLOWED).increment(entries as u64);
}
