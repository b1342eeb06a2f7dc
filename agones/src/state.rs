//! The states of a GameServer, spelled as Agones spells them.

use std::fmt;

/// What a GameServer is doing, as Agones records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum State {
    /// A host port is being chosen.
    PortAllocation,
    /// The pod is being made.
    Creating,
    /// The pod exists and waits for a node.
    Starting,
    /// The process runs and has not spoken yet.
    Scheduled,
    /// The process called Ready and the controller has not answered yet.
    RequestReady,
    /// Idle, and offered to every allocator.
    Ready,
    /// Idle, and offered to nobody: Muster's warm pool.
    Reserved,
    /// Busy: nothing may end it but itself.
    Allocated,
    /// Ending by its own wish. Final.
    Shutdown,
    /// It could not be made. Final.
    Error,
    /// It stopped sending health pings, or its process died. Final.
    Unhealthy,
    /// A name that this version does not know.
    Unknown,
}

impl State {
    const NAMED: [State; 11] = [
        State::PortAllocation,
        State::Creating,
        State::Starting,
        State::Scheduled,
        State::RequestReady,
        State::Ready,
        State::Reserved,
        State::Allocated,
        State::Shutdown,
        State::Error,
        State::Unhealthy,
    ];

    /// The state's name in the Agones API.
    pub fn as_str(self) -> &'static str {
        match self {
            State::PortAllocation => "PortAllocation",
            State::Creating => "Creating",
            State::Starting => "Starting",
            State::Scheduled => "Scheduled",
            State::RequestReady => "RequestReady",
            State::Ready => "Ready",
            State::Reserved => "Reserved",
            State::Allocated => "Allocated",
            State::Shutdown => "Shutdown",
            State::Error => "Error",
            State::Unhealthy => "Unhealthy",
            State::Unknown => "Unknown",
        }
    }

    /// The state with this name in the Agones API; [`State::Unknown`] for a name of a later version.
    pub fn parse(name: &str) -> Self {
        Self::NAMED.into_iter().find(|state| state.as_str() == name).unwrap_or(State::Unknown)
    }

    /// Whether nothing leaves this state: the server will be deleted.
    pub fn is_final(self) -> bool {
        matches!(self, State::Shutdown | State::Error | State::Unhealthy)
    }

    /// Whether the server waits for a match.
    pub fn is_idle(self) -> bool {
        matches!(self, State::Ready | State::Reserved)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn every_name_reads_back_as_its_state() {
        for state in State::NAMED {
            assert_eq!(State::parse(state.as_str()), state);
        }
        assert_eq!(State::parse("Hibernating"), State::Unknown);
        assert_eq!(State::parse("ready"), State::Unknown, "names are case-sensitive in the API");
    }
}
