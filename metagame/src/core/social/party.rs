//! A party: players that queue together. One that has a code is a private lobby: whoever knows the code may join.
//!
//! Every change makes the version greater. A ticket stands for the members as they were, so a change of who is in the party,
//! or a member that is not ready any more, cancels it.

use std::collections::BTreeMap;

use protocol::id::{PartyId, PlayerId, TicketId};

/// Most members of a party, where its maker names no other bound.
pub const SIZE_DEFAULT: u32 = 8;
/// Most members of any party: two full teams of a large game in one lobby.
pub const SIZE_MAX: u32 = 64;
/// How long an invitation holds: 5 minutes.
pub const INVITE_LIFE_MS: u64 = 5 * 60 * 1_000;
/// Most open invitations of one party.
pub const INVITES_PER_PARTY_MAX: u64 = 64;
/// Most open invitations to one player.
pub const INVITES_PER_PLAYER_MAX: u64 = 32;

/// Round-trip times by region in milliseconds.
pub type Rtts = BTreeMap<String, u32>;

/// A member of a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The player.
    pub player: PlayerId,
    /// Whether it wants to queue.
    pub ready: bool,
    /// What it measured to the queue's regions.
    pub rtts: Rtts,
}

/// A party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Its id.
    pub id: PartyId,
    /// The member that queues, sends away, and hands over.
    pub leader: PlayerId,
    /// Counts every change, from 1.
    pub version: u64,
    /// Most members.
    pub size_max: u32,
    /// By which anybody may join; `None`: by invitation alone.
    pub code: Option<String>,
    /// The ticket that stands for the members as they are, if one was made.
    pub ticket: Option<TicketId>,
    /// In the order in which they joined; never empty.
    pub members: Vec<Member>,
}

/// What is done to a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartyAct {
    /// Somebody comes in. Whether it may is decided by its invitation or the code.
    Join,
    /// A member goes. The party of nobody ends.
    Leave,
    /// The leader sends a member away.
    Kick(PlayerId),
    /// The leader makes another member the leader.
    HandOver(PlayerId),
    /// A member says whether it is ready, and how far the regions are.
    Ready(bool, Rtts),
    /// The leader queues all with this ticket.
    Queue(TicketId),
    /// A ticket came to nothing.
    Unqueue(TicketId),
    /// The leader opens the party to whoever knows this code.
    Open(String),
    /// The leader takes the code away.
    Close,
}

/// Why it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartyRefusal {
    /// Only the leader may.
    #[error("only the party's leader may do this")]
    NotLeader,
    /// The player that is named is not in the party.
    #[error("this player is not in your party")]
    NotMember,
    /// No room.
    #[error("the party is full")]
    Full,
    /// The leader leaves, it does not send itself away.
    #[error("that is you: leave the party instead")]
    Oneself,
    /// Somebody is not ready.
    #[error("not all members are ready")]
    NotReady,
}

/// What a change leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Consequence {
    /// The ticket that stands for the party no more.
    pub cancels: Option<TicketId>,
    /// Who has gone.
    pub gone: Option<PlayerId>,
}

impl Party {
    /// A party of one.
    pub fn new(id: PartyId, leader: PlayerId, size_max: u32, code: Option<String>) -> Self {
        let first = Member { player: leader, ready: false, rtts: Rtts::new() };
        let size_max = size_max.clamp(1, SIZE_MAX);
        Self { id, leader, version: 1, size_max, code, ticket: None, members: vec![first] }
    }

    /// Whether a player is in it.
    pub fn has(&self, player: PlayerId) -> bool {
        self.members.iter().any(|member| member.player == player)
    }

    /// The members, in the order in which they joined.
    pub fn players(&self) -> Vec<PlayerId> {
        self.members.iter().map(|member| member.player).collect()
    }

    /// Does it, by `player`; without members left the party is over. What is so already changes nothing.
    ///
    /// # Errors
    /// [`PartyRefusal`]; the party is as it was.
    pub fn act(&mut self, player: PlayerId, act: &PartyAct) -> Result<Consequence, PartyRefusal> {
        match act {
            PartyAct::Join => self.join(player),
            PartyAct::Leave => self.remove(player),
            PartyAct::Kick(other) => {
                self.check_leader(player)?;
                match (*other == player, self.has(*other)) {
                    (true, _) => Err(PartyRefusal::Oneself),
                    (false, true) => self.remove(*other),
                    // It has gone already, perhaps by this very request.
                    (false, false) => Ok(Consequence::default()),
                }
            }
            PartyAct::HandOver(to) => {
                self.check_leader(player)?;
                if !self.has(*to) {
                    return Err(PartyRefusal::NotMember);
                }
                self.change(*to != player, |party| party.leader = *to)
            }
            PartyAct::Ready(ready, rtts) => self.ready(player, *ready, rtts),
            PartyAct::Queue(ticket) => {
                self.check_leader(player)?;
                if self.members.iter().any(|member| !member.ready) {
                    return Err(PartyRefusal::NotReady);
                }
                self.change(self.ticket != Some(*ticket), |party| party.ticket = Some(*ticket))
            }
            PartyAct::Unqueue(ticket) => self.change(self.ticket == Some(*ticket), |party| party.ticket = None),
            PartyAct::Open(code) => {
                self.check_leader(player)?;
                self.change(self.code.as_ref() != Some(code), |party| party.code = Some(code.clone()))
            }
            PartyAct::Close => {
                self.check_leader(player)?;
                self.change(self.code.is_some(), |party| party.code = None)
            }
        }
    }

    fn join(&mut self, player: PlayerId) -> Result<Consequence, PartyRefusal> {
        if self.has(player) {
            return Ok(Consequence::default());
        }
        if self.members.len() >= self.size_max as usize {
            return Err(PartyRefusal::Full);
        }
        self.members.push(Member { player, ready: false, rtts: Rtts::new() });
        Ok(self.regroup(None))
    }

    fn remove(&mut self, player: PlayerId) -> Result<Consequence, PartyRefusal> {
        if !self.has(player) {
            return Err(PartyRefusal::NotMember);
        }
        self.members.retain(|member| member.player != player);
        if let Some(oldest) = self.members.first()
            && self.leader == player
        {
            self.leader = oldest.player;
        }
        Ok(self.regroup(Some(player)))
    }

    fn ready(&mut self, player: PlayerId, ready: bool, rtts: &Rtts) -> Result<Consequence, PartyRefusal> {
        let member = self.members.iter_mut().find(|member| member.player == player).ok_or(PartyRefusal::NotMember)?;
        if member.ready == ready && member.rtts == *rtts {
            return Ok(Consequence::default());
        }
        (member.ready, member.rtts) = (ready, rtts.clone());
        self.version += 1;
        let cancels = if ready { None } else { self.ticket.take() };
        Ok(Consequence { cancels, gone: None })
    }

    /// Who is in the party has changed.
    fn regroup(&mut self, gone: Option<PlayerId>) -> Consequence {
        self.version += 1;
        Consequence { cancels: self.ticket.take(), gone }
    }

    fn change(&mut self, is_one: bool, change: impl FnOnce(&mut Self)) -> Result<Consequence, PartyRefusal> {
        if is_one {
            change(self);
            self.version += 1;
        }
        Ok(Consequence::default())
    }

    fn check_leader(&self, player: PlayerId) -> Result<(), PartyRefusal> {
        if self.leader == player { Ok(()) } else { Err(PartyRefusal::NotLeader) }
    }

    /// The regions that suit all members, each with the worst round trip; empty where nobody measured any.
    pub fn common_rtts(&self) -> Rtts {
        let mut members = self.members.iter();
        let Some(first) = members.next() else { return Rtts::new() };
        let mut common = first.rtts.clone();
        for member in members {
            common.retain(|region, worst| {
                member.rtts.get(region).is_some_and(|rtt| {
                    *worst = (*worst).max(*rtt);
                    true
                })
            });
        }
        common
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn player(n: u8) -> PlayerId {
        PlayerId::from_entropy([n; 16])
    }

    fn ticket(n: u8) -> TicketId {
        TicketId::from_entropy([n; 16])
    }

    fn party(size_max: u32) -> Party {
        Party::new(PartyId::from_entropy([9; 16]), player(1), size_max, None)
    }

    fn ready(party: &mut Party) {
        for player in party.players() {
            party.act(player, &PartyAct::Ready(true, Rtts::new())).expect("ready");
        }
    }

    #[test]
    fn a_leader_that_leaves_is_followed_by_the_oldest_member() {
        let mut party = party(4);
        party.act(player(2), &PartyAct::Join).expect("room");
        party.act(player(3), &PartyAct::Join).expect("room");
        party.act(player(1), &PartyAct::Leave).expect("a member");
        assert_eq!((party.leader, party.players()), (player(2), vec![player(2), player(3)]));
        assert_eq!(party.act(player(1), &PartyAct::Leave), Err(PartyRefusal::NotMember));
    }

    #[test]
    fn only_the_leader_sends_away_hands_over_and_queues() {
        let mut party = party(4);
        party.act(player(2), &PartyAct::Join).expect("room");
        for act in [
            PartyAct::Kick(player(1)),
            PartyAct::HandOver(player(2)),
            PartyAct::Queue(ticket(1)),
            PartyAct::Open("A".into()),
            PartyAct::Close,
        ] {
            assert_eq!(party.act(player(2), &act), Err(PartyRefusal::NotLeader), "{act:?}");
        }
        assert_eq!(party.act(player(1), &PartyAct::Kick(player(1))), Err(PartyRefusal::Oneself));
        assert_eq!(party.act(player(1), &PartyAct::HandOver(player(7))), Err(PartyRefusal::NotMember));
        party.act(player(1), &PartyAct::HandOver(player(2))).expect("a member");
        assert_eq!(party.leader, player(2));
    }

    #[test]
    fn a_ticket_ends_when_somebody_comes_goes_or_is_not_ready_any_more() {
        let changes: [(u8, PartyAct); 4] = [
            (3, PartyAct::Join),
            (2, PartyAct::Leave),
            (1, PartyAct::Kick(player(2))),
            (2, PartyAct::Ready(false, Rtts::new())),
        ];
        for (by, act) in changes {
            let mut party = party(4);
            party.act(player(2), &PartyAct::Join).expect("room");
            assert_eq!(party.act(player(1), &PartyAct::Queue(ticket(1))), Err(PartyRefusal::NotReady));
            ready(&mut party);
            party.act(player(1), &PartyAct::Queue(ticket(1))).expect("all are ready");
            let version = party.version;
            let done = party.act(player(by), &act).expect("allowed");
            assert_eq!(done.cancels, Some(ticket(1)), "{act:?}");
            assert!(party.ticket.is_none() && party.version > version);
        }
    }

    #[test]
    fn a_party_takes_the_regions_that_suit_all_with_the_worst_round_trip() {
        let mut party = party(4);
        party.act(player(2), &PartyAct::Join).expect("room");
        let rtts = |list: &[(&str, u32)]| list.iter().map(|(name, rtt)| ((*name).to_owned(), *rtt)).collect::<Rtts>();
        party.act(player(1), &PartyAct::Ready(true, rtts(&[("eu", 20), ("us", 90)]))).expect("a member");
        party.act(player(2), &PartyAct::Ready(true, rtts(&[("eu", 35), ("asia", 10)]))).expect("a member");
        assert_eq!(party.common_rtts(), rtts(&[("eu", 35)]));
    }

    fn acts() -> impl Strategy<Value = Vec<(u8, PartyAct)>> {
        let act = prop_oneof![
            Just(PartyAct::Join),
            Just(PartyAct::Leave),
            (0..6_u8).prop_map(|n| PartyAct::Kick(player(n))),
            (0..6_u8).prop_map(|n| PartyAct::HandOver(player(n))),
            any::<bool>().prop_map(|ready| PartyAct::Ready(ready, Rtts::new())),
            (0..3_u8).prop_map(|n| PartyAct::Queue(ticket(n))),
            (0..3_u8).prop_map(|n| PartyAct::Unqueue(ticket(n))),
            Just(PartyAct::Open("CODE".into())),
            Just(PartyAct::Close),
        ];
        prop::collection::vec((0..6_u8, act), 0..60)
    }

    proptest! {
        #[test]
        fn a_party_keeps_its_rules_whatever_is_done_to_it(acts in acts()) {
            let mut party = party(4);
            for (by, act) in acts {
                let before = party.clone();
                let Ok(done) = party.act(player(by), &act) else {
                    prop_assert_eq!(&party, &before);
                    continue;
                };
                if party.members.is_empty() {
                    break;
                }
                prop_assert!(party.has(party.leader), "the leader is a member");
                prop_assert!(party.members.len() <= party.size_max as usize);
                let mut players = party.players();
                players.sort();
                players.dedup();
                prop_assert_eq!(players.len(), party.members.len());
                prop_assert_eq!(party == before, party.version == before.version, "every change counts");
                let regrouped = party.players() != before.players();
                prop_assert!(!regrouped || done.cancels == before.ticket, "a changed party cancels its ticket");
                prop_assert!(party.ticket.is_none() || party.members.iter().all(|member| member.ready));
            }
        }
    }
}
