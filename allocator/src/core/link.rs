//! Whether a game server is heard: Linked, Suspect after a short silence, Lost after a long one.

use std::time::Duration;

use super::settings::Timing;

/// Names one control stream; a server that reconnects has a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What is believed of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkState {
    /// Heard within the last moments.
    Linked,
    /// Silent, or its stream is broken: no new match, nothing lost.
    Suspect,
    /// Silent for too long, or known to be gone: its matches are lost.
    Lost,
}

impl LinkState {
    /// Every state, best first.
    pub const ALL: [Self; 3] = [Self::Linked, Self::Suspect, Self::Lost];

    /// The state's name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Suspect => "suspect",
            Self::Lost => "lost",
        }
    }
}

/// A server's link.
#[derive(Debug, Clone)]
pub struct Link {
    stream: Option<LinkId>,
    heard: Duration,
    state: LinkState,
}

impl Link {
    /// A link that has just registered.
    pub fn new(stream: LinkId, now: Duration) -> Self {
        Self { stream: Some(stream), heard: now, state: LinkState::Linked }
    }

    /// The stream, while there is one.
    pub fn stream(&self) -> Option<LinkId> {
        self.stream
    }

    /// What is believed of the server.
    pub fn state(&self) -> LinkState {
        self.state
    }

    /// When the server was last heard.
    pub fn last_heard(&self) -> Duration {
        self.heard
    }

    /// A message came. Whether this makes a Suspect server Linked again.
    pub fn hear(&mut self, now: Duration) -> bool {
        self.heard = now;
        let back = self.state == LinkState::Suspect && self.stream.is_some();
        if back {
            self.state = LinkState::Linked;
        }
        back
    }

    /// The stream broke. Whether this makes a Linked server Suspect.
    pub fn cut(&mut self) -> bool {
        self.stream = None;
        let changed = self.state == LinkState::Linked;
        if changed {
            self.state = LinkState::Suspect;
        }
        changed
    }

    /// The server is gone for good. The stream to close, if there is one.
    pub fn lose(&mut self) -> Option<LinkId> {
        self.state = LinkState::Lost;
        self.stream.take()
    }

    /// What silence until `now` should change the state to, if anything. [`cut`](Self::cut)-like consequences are
    /// the caller's: Lost goes through [`lose`](Self::lose).
    pub fn judge(&mut self, now: Duration, timing: &Timing) -> Option<LinkState> {
        let silence = now.saturating_sub(self.heard);
        match self.state {
            LinkState::Linked | LinkState::Suspect if silence >= timing.lost_after => Some(LinkState::Lost),
            LinkState::Linked if silence >= timing.suspect_after => {
                self.state = LinkState::Suspect;
                Some(LinkState::Suspect)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn silence_makes_suspect_then_lost_and_a_word_makes_linked_again() {
        let timing = Timing::default();
        let mut link = Link::new(LinkId(1), ms(0));
        assert_eq!(link.judge(ms(1_999), &timing), None);
        assert_eq!(link.judge(ms(2_000), &timing), Some(LinkState::Suspect));
        assert_eq!(link.judge(ms(2_001), &timing), None);
        assert!(link.hear(ms(3_000)));
        assert!(!link.hear(ms(3_001)));
        assert_eq!(link.state(), LinkState::Linked);
        assert_eq!(link.judge(ms(5_001), &timing), Some(LinkState::Suspect));
        assert_eq!(link.judge(ms(63_000), &timing), None);
        assert_eq!(link.judge(ms(63_001), &timing), Some(LinkState::Lost));
        assert_eq!(link.lose(), Some(LinkId(1)));
        assert_eq!(link.judge(ms(200_000), &timing), None);
    }

    #[test]
    fn a_broken_stream_is_suspect_at_once_and_hearing_an_old_word_does_not_help() {
        let mut link = Link::new(LinkId(1), ms(0));
        assert!(link.cut());
        assert!(!link.cut());
        assert!(!link.hear(ms(1)));
        assert_eq!((link.state(), link.stream()), (LinkState::Suspect, None));
    }
}
