//! How many servers there are.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Servers that wait for matches, in each region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minimum <= self.maximum").message("warmPool.minimum must not be above warmPool.maximum"))]
#[x_kube(validation = Rule::new("self.buffer <= self.maximum").message("warmPool.buffer must not be above warmPool.maximum"))]
pub struct WarmPool {
    /// Fewest servers ever, and what a new fleet begins with.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10_000))]
    pub minimum: u32,
    /// Most servers ever: the hard cap on what the fleet can cost.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 10_000))]
    pub maximum: u32,
    /// Idle servers kept beyond what the queues ask for.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10_000))]
    pub buffer: u32,
}

impl Default for WarmPool {
    fn default() -> Self {
        Self { minimum: one(), maximum: ten(), buffer: one() }
    }
}

/// How the size follows demand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scaling {
    /// How long demand must stay lower before servers go.
    #[serde(default = "scale_down_delay")]
    #[schemars(range(min = 0, max = 86_400))]
    pub scale_down_delay_seconds: u32,
    /// Minimums by the clock, for evenings and events. The largest that applies counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub schedule: Vec<ScheduleEntry>,
    /// Servers started ahead of demand that comes again each day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// Keeps an Agones FleetAutoscaler beside each Fleet. While the operator answers it, the Fleet has the size that the
    /// operator wishes; while the operator is away, as many servers as have a match and this many more, within the maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub crash_floor: Option<u32>,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { scale_down_delay_seconds: scale_down_delay(), schedule: Vec::new(), forecast: None, crash_floor: None }
    }
}

/// A minimum by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.start != self.end").message("start and end must differ; for the whole day leave out the schedule and raise warmPool.minimum"))]
pub struct ScheduleEntry {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Days on which it begins; none: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub days: Vec<Weekday>,
    /// When it begins, `HH:MM` in UTC.
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"), length(min = 5, max = 5))]
    pub start: String,
    /// When it ends, `HH:MM` in UTC; before `start` means the next day.
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"), length(min = 5, max = 5))]
    pub end: String,
    /// Fewest servers in that time, in each region.
    #[schemars(range(min = 0, max = 10_000))]
    pub minimum: u32,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "days")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Holt-Winters with a season of a day, on busy servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// How far ahead servers are started; at least as long as a server takes from creation to the pool.
    #[serde(default = "ahead")]
    #[schemars(range(min = 10, max = 3_600))]
    pub ahead_seconds: u32,
    /// Most servers that it may add to what demand asks for.
    #[schemars(range(min = 1, max = 10_000))]
    pub maximum_extra: u32,
}

fn one() -> u32 {
    1
}

fn ten() -> u32 {
    10
}

fn scale_down_delay() -> u32 {
    300
}

fn ahead() -> u32 {
    120
}
