//! The fleet and the queue that the scenarios play on.

use super::images::IMAGE;
use super::stage::GAMES;

/// Name of the fleet.
pub(crate) const FLEET: &str = "arena";
/// Name of the queue.
pub(crate) const QUEUE: &str = "arena-2v2";
/// Players of a match.
pub(crate) const PLAYERS: u32 = 4;

/// A fleet of the reference game, as far as scenarios change it.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    /// Name.
    pub(crate) name: &'static str,
    /// What makes one revision different from another: an environment variable that nobody reads.
    pub(crate) edition: u32,
    /// Arguments of the game server besides its own.
    pub(crate) args: &'static str,
    /// Fewest servers.
    pub(crate) minimum: u32,
    /// Most servers.
    pub(crate) maximum: u32,
    /// Idle servers.
    pub(crate) buffer: u32,
    /// Seconds that a match may go on when its server has to leave.
    pub(crate) drain_seconds: u32,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { name: FLEET, edition: 1, args: "", minimum: 2, maximum: 6, buffer: 1, drain_seconds: 60 }
    }
}

impl Fleet {
    /// As YAML.
    pub(crate) fn yaml(&self) -> String {
        let Self { name, edition, args, minimum, maximum, buffer, drain_seconds } = self;
        format!(
            r#"
apiVersion: muster.dev/v1alpha1
kind: GameFleet
metadata: {{name: {name}, namespace: {GAMES}}}
spec:
  build: "1"
  capacity: 2
  template:
    image: {IMAGE}
    imagePullPolicy: IfNotPresent
    args: [gameserver{args}]
    env: [{{name: EDITION, value: "{edition}"}}]
    ports: [{{name: game, containerPort: 7777, protocol: UDP}}]
    resources: {{requests: {{cpu: 20m, memory: 32Mi}}}}
  warmPool: {{minimum: {minimum}, maximum: {maximum}, buffer: {buffer}}}
  scaling: {{scaleDownDelaySeconds: 5}}
  drain: {{deadlineSeconds: {drain_seconds}}}
  rollout:
    steps:
    - {{weight: 10, pauseSeconds: 2, minimumSessions: 1}}
    - {{weight: 50, pauseSeconds: 2, minimumSessions: 2}}
    # A machine under test says little about the length of ticks.
    analysis: {{tickP99Percent: 1000, crashesAtStart: 2}}
"#
        )
    }
}

/// The queue.
pub(crate) fn queue(match_seconds: u32) -> String {
    format!(
        r#"
apiVersion: muster.dev/v1alpha1
kind: MatchQueue
metadata: {{name: {QUEUE}, namespace: {GAMES}}}
spec:
  teams: 2
  playersPerTeam: 2
  fleet: {FLEET}
  ticketTimeoutSeconds: 120
  settings: {{mode: teams, seconds: {match_seconds}}}
"#
    )
}
