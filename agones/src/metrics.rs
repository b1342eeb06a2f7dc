//! Every metric of this crate, defined once. No label carries a server's name.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::state::State;

const SDK_CALLS: &str = "muster_agones_sdk_calls_total";
const SDK_REPEATS: &str = "muster_agones_sdk_repeats_total";
const SDK_WATCH_RESTARTS: &str = "muster_agones_sdk_watch_restarts_total";
const SDK_HEALTH_PINGS: &str = "muster_agones_sdk_health_pings_total";
const LOCAL_SERVERS: &str = "muster_agones_local_servers_count";
const LOCAL_DESIRED: &str = "muster_agones_local_desired_servers_count";
const LOCAL_STARTS: &str = "muster_agones_local_starts_total";
const LOCAL_EXITS: &str = "muster_agones_local_exits_total";
const LOCAL_OUTPUT_DROPPED: &str = "muster_agones_local_output_dropped_lines_total";

/// Registers the descriptions with the global recorder; call once, after the recorder is installed.
pub fn describe() {
    describe_counter!(SDK_CALLS, "SDK writes sent, by call and outcome");
    describe_counter!(SDK_REPEATS, "SDK writes that were acknowledged, not observed, and sent again");
    describe_counter!(SDK_WATCH_RESTARTS, "Times that the GameServer watch was opened again");
    describe_counter!(SDK_HEALTH_PINGS, "Health pings, by outcome");
    describe_gauge!(LOCAL_SERVERS, "Game-server processes of the local fleet, by state");
    describe_gauge!(LOCAL_DESIRED, "Game-server processes that the local fleet wants");
    describe_counter!(LOCAL_STARTS, "Game-server processes started");
    describe_counter!(LOCAL_EXITS, "Game-server processes that ended, by how");
    describe_counter!(LOCAL_OUTPUT_DROPPED, "Lines of game-server output not forwarded because there were too many");
}

pub(crate) fn sdk_call(call: &'static str, outcome: &'static str) {
    counter!(SDK_CALLS, "call" => call, "outcome" => outcome).increment(1);
}

pub(crate) fn sdk_repeat(call: &'static str) {
    counter!(SDK_REPEATS, "call" => call).increment(1);
}

pub(crate) fn sdk_watch_restart() {
    counter!(SDK_WATCH_RESTARTS).increment(1);
}

pub(crate) fn sdk_health_ping(outcome: &'static str) {
    counter!(SDK_HEALTH_PINGS, "outcome" => outcome).increment(1);
}

pub(crate) fn local_servers(fleet: &str, state: State, count: usize) {
    gauge!(LOCAL_SERVERS, "fleet" => fleet.to_owned(), "state" => state.as_str()).set(count as f64);
}

pub(crate) fn local_desired(fleet: &str, count: u32) {
    gauge!(LOCAL_DESIRED, "fleet" => fleet.to_owned()).set(f64::from(count));
}

pub(crate) fn local_start(fleet: &str) {
    counter!(LOCAL_STARTS, "fleet" => fleet.to_owned()).increment(1);
}

pub(crate) fn local_exit(fleet: &str, how: &'static str) {
    counter!(LOCAL_EXITS, "fleet" => fleet.to_owned(), "how" => how).increment(1);
}

pub(crate) fn local_output_dropped(lines: u64) {
    counter!(LOCAL_OUTPUT_DROPPED).increment(lines);
}
