//! What stands between two players, and what an act of one of them makes of it.
//!
//! Each side has a [`Tie`] or none. Always: `Sent` faces `Received`, `Friend` faces `Friend`, `Blocked` faces `Blocked` or
//! nothing. A block is one player's, and ends everything between the two.

use std::str::FromStr;

/// Most friends of a player, requests that it made included.
pub const FRIENDS_MAX: u64 = 500;
/// Most requests that wait for a player's answer.
pub const RECEIVED_MAX: u64 = 200;
/// Most players that a player blocks.
pub const BLOCKED_MAX: u64 = 500;

/// What another player is to a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// Asked to be a friend, by this player.
    Sent,
    /// Asked this player to be a friend.
    Received,
    /// A friend.
    Friend,
    /// Blocked by this player.
    Blocked,
}

impl Tie {
    /// Its name in the database and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Friend => "friend",
            Self::Blocked => "blocked",
        }
    }
}

/// A text that names no tie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no tie between players")]
pub struct UnknownTie(String);

impl FromStr for Tie {
    type Err = UnknownTie;

    fn from_str(text: &str) -> Result<Self, UnknownTie> {
        [Self::Sent, Self::Received, Self::Friend, Self::Blocked]
            .into_iter()
            .find(|tie| tie.name() == text)
            .ok_or_else(|| UnknownTie(text.to_owned()))
    }
}

/// What a player does about another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Asks to be friends, or accepts the other's request.
    Befriend,
    /// Ends a friendship, takes a request back, or declines one.
    Unfriend,
    /// Blocks.
    Block,
    /// Ends its own block.
    Unblock,
}

/// What stands between two players, seen from the one that acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Between {
    /// What the other is to the one that acts.
    pub own: Option<Tie>,
    /// What the one that acts is to the other.
    pub theirs: Option<Tie>,
}

/// How full the lists are that an act may lengthen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Friends and sent requests of the one that acts.
    pub own_friends: u64,
    /// Players that it blocks.
    pub own_blocked: u64,
    /// Requests that wait for the other's answer.
    pub their_received: u64,
}

/// What the other has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// It is asked to be a friend.
    Asked,
    /// Its request was accepted.
    Accepted,
}

/// Why an act is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// One cannot be one's own friend.
    #[error("that is you")]
    Oneself,
    /// The one that acts blocks the other.
    #[error("you block this player: unblock it first")]
    YouBlock,
    /// The other blocks, or its list of requests is full: the answer does not say which.
    #[error("this player takes no requests from you now")]
    Unreachable,
    /// A list of the one that acts is full.
    #[error("your list is full, it holds {0}: remove somebody first")]
    Full(u64),
}

/// What an act makes of what stands between two players, and what the other is told of it.
///
/// # Errors
/// [`Refusal`].
pub fn act(between: Between, act: Act, room: Room) -> Result<(Between, Option<Notice>), Refusal> {
    let unless_blocked = |tie: Option<Tie>| tie.filter(|tie| *tie == Tie::Blocked);
    match act {
        Act::Befriend => befriend(between, room),
        Act::Unfriend => {
            let after = Between { own: unless_blocked(between.own), theirs: unless_blocked(between.theirs) };
            Ok((after, None))
        }
        Act::Block if between.own == Some(Tie::Blocked) => Ok((between, None)),
        Act::Block if room.own_blocked >= BLOCKED_MAX => Err(Refusal::Full(BLOCKED_MAX)),
        Act::Block => Ok((Between { own: Some(Tie::Blocked), theirs: unless_blocked(between.theirs) }, None)),
        Act::Unblock => Ok((Between { own: between.own.filter(|tie| *tie != Tie::Blocked), ..between }, None)),
    }
}

fn befriend(between: Between, room: Room) -> Result<(Between, Option<Notice>), Refusal> {
    match (between.own, between.theirs) {
        (Some(Tie::Blocked), _) => Err(Refusal::YouBlock),
        (_, Some(Tie::Blocked)) => Err(Refusal::Unreachable),
        (Some(Tie::Friend | Tie::Sent), _) => Ok((between, None)),
        _ if room.own_friends >= FRIENDS_MAX => Err(Refusal::Full(FRIENDS_MAX)),
        (Some(Tie::Received), _) => {
            Ok((Between { own: Some(Tie::Friend), theirs: Some(Tie::Friend) }, Some(Notice::Accepted)))
        }
        (None, _) if room.their_received >= RECEIVED_MAX => Err(Refusal::Unreachable),
        (None, _) => Ok((Between { own: Some(Tie::Sent), theirs: Some(Tie::Received) }, Some(Notice::Asked))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(own: Option<Tie>, theirs: Option<Tie>, what: Act) -> Result<(Option<Tie>, Option<Tie>), Refusal> {
        act(Between { own, theirs }, what, Room::default()).map(|(after, _)| (after.own, after.theirs))
    }

    #[test]
    fn asking_and_accepting_make_friends_and_only_the_other_is_told() {
        let ask = act(Between::default(), Act::Befriend, Room::default()).expect("asked");
        assert_eq!(ask, (Between { own: Some(Tie::Sent), theirs: Some(Tie::Received) }, Some(Notice::Asked)));
        let accept = Between { own: ask.0.theirs, theirs: ask.0.own };
        let accept = act(accept, Act::Befriend, Room::default()).expect("accepted");
        assert_eq!(accept, (Between { own: Some(Tie::Friend), theirs: Some(Tie::Friend) }, Some(Notice::Accepted)));
        assert_eq!(act(accept.0, Act::Befriend, Room::default()), Ok((accept.0, None)), "again changes nothing");
    }

    #[test]
    fn a_block_ends_all_and_only_who_blocked_can_end_it() {
        assert_eq!(after(Some(Tie::Friend), Some(Tie::Friend), Act::Block), Ok((Some(Tie::Blocked), None)));
        assert_eq!(after(None, Some(Tie::Blocked), Act::Unblock), Ok((None, Some(Tie::Blocked))));
        assert_eq!(after(None, Some(Tie::Blocked), Act::Befriend), Err(Refusal::Unreachable));
        assert_eq!(after(Some(Tie::Blocked), None, Act::Befriend), Err(Refusal::YouBlock));
        assert_eq!(after(Some(Tie::Blocked), None, Act::Unfriend), Ok((Some(Tie::Blocked), None)));
    }

    #[test]
    fn lists_are_bounded_and_a_full_list_of_another_is_not_told_from_a_block() {
        let ask = |room: Room| act(Between::default(), Act::Befriend, room).map(drop);
        assert_eq!(ask(Room { own_friends: FRIENDS_MAX, ..Room::default() }), Err(Refusal::Full(FRIENDS_MAX)));
        assert_eq!(ask(Room { their_received: RECEIVED_MAX, ..Room::default() }), Err(Refusal::Unreachable));
        let full = Room { own_blocked: BLOCKED_MAX, ..Room::default() };
        assert_eq!(act(Between::default(), Act::Block, full).map(drop), Err(Refusal::Full(BLOCKED_MAX)));
        let blocked = Between { own: Some(Tie::Blocked), theirs: None };
        assert_eq!(act(blocked, Act::Block, full), Ok((blocked, None)));
    }

    fn acts() -> impl Strategy<Value = Vec<(bool, Act)>> {
        let one = prop_oneof![Just(Act::Befriend), Just(Act::Unfriend), Just(Act::Block), Just(Act::Unblock)];
        prop::collection::vec((any::<bool>(), one), 0..40)
    }

    proptest! {
        #[test]
        fn both_sides_always_fit_together(acts in acts()) {
            let mut between = Between::default();
            for (swap, one) in acts {
                if swap {
                    between = Between { own: between.theirs, theirs: between.own };
                }
                if let Ok((next, _)) = act(between, one, Room::default()) {
                    between = next;
                }
                let fits = match (between.own, between.theirs) {
                    (None | Some(Tie::Blocked), None | Some(Tie::Blocked)) => true,
                    (own, theirs) => matches!((own, theirs),
                        (Some(Tie::Sent), Some(Tie::Received)) | (Some(Tie::Received), Some(Tie::Sent))
                        | (Some(Tie::Friend), Some(Tie::Friend))),
                };
                prop_assert!(fits, "{between:?} after {one:?}");
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for tie in [Tie::Sent, Tie::Received, Tie::Friend, Tie::Blocked] {
            assert_eq!(tie.name().parse(), Ok(tie));
        }
        assert!("foe".parse::<Tie>().is_err());
    }
}
