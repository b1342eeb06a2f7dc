//! Parties, their invitations, and the tickets that they have outgrown.

use protocol::id::{PartyId, PlayerId, TicketId};
use serde_json::json;

use super::chat;
use super::friends::between;
use super::inbox::{self, NewMessage};
use crate::args;
use crate::core::event::fact;
use crate::core::social::chat::Channel;
use crate::core::social::party::{
    INVITE_LIFE_MS, INVITES_PER_PARTY_MAX, INVITES_PER_PLAYER_MAX, Member, Party, PartyAct, PartyRefusal,
};
use crate::core::social::tie::Tie;
use crate::db::{Domain, Tx};
use crate::store::events::tell;
use crate::store::{Store, StoreError};

/// A party that somebody makes.
#[derive(Debug, Clone)]
pub struct NewParty {
    /// Who makes and leads it.
    pub player: PlayerId,
    /// Its id: a fresh one, by which a repetition knows its own.
    pub party_id: PartyId,
    /// Most members.
    pub size_max: u32,
    /// By which anybody may join.
    pub code: Option<String>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What a member does to its party.
#[derive(Debug, Clone)]
pub struct PartyStep {
    /// Who does it.
    pub player: PlayerId,
    /// What.
    pub act: PartyAct,
    /// Only to the party in this version, where one is named.
    pub version: Option<u64>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// By what somebody comes into a party.
#[derive(Debug, Clone)]
pub enum Entrance {
    /// An invitation to this party.
    Invitation(PartyId),
    /// The code of a private lobby.
    Code(String),
}

/// A party as its members see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyView {
    /// The party.
    pub party: Party,
    /// The members' names, in their order.
    pub names: Vec<String>,
}

/// What a change of a party led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyDone {
    /// The party as it is now; without members it is over.
    pub view: PartyView,
    /// Members, and who has gone: those for whom something has changed. Empty: nothing has.
    pub touched: Vec<PlayerId>,
    /// Whether a ticket has to be cancelled.
    pub cancels: bool,
}

/// An invitation that a player has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteView {
    /// To which party.
    pub party_id: PartyId,
    /// By whom.
    pub from_id: PlayerId,
    /// Its name.
    pub from_name: String,
    /// Unix milliseconds.
    pub expires_at_ms: u64,
}

/// Why something cannot be done to a party.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartyFault {
    /// The player is in none.
    #[error("you are in no party")]
    NoParty,
    /// The player is in another one.
    #[error("you are in a party already: leave it first")]
    InParty(PartyId),
    /// There is no such player.
    #[error("there is no such player")]
    UnknownPlayer,
    /// The other blocks or is blocked, or has too many invitations.
    #[error("this player takes no invitations from you now")]
    Unreachable,
    /// The party has as many open invitations as it may.
    #[error("your party has {INVITES_PER_PARTY_MAX} open invitations: wait until some are answered")]
    TooManyInvites,
    /// There is no invitation, or it has expired, or the party is over.
    #[error("you have no invitation to this party, or it has expired")]
    NotInvited,
    /// No lobby has this code.
    #[error("no lobby has this code")]
    UnknownCode,
    /// The party is not what it was when the caller looked.
    #[error("the party has changed meanwhile: look at it and try again")]
    Changed,
    /// The rules of parties.
    #[error(transparent)]
    Refused(#[from] PartyRefusal),
}

type PartyAnswer = Result<PartyDone, PartyFault>;

impl Store {
    /// Makes a party of one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn make_party(&self, new: NewParty) -> Result<PartyAnswer, StoreError> {
        self.db.write(Domain::Social, new, |tx, new| Box::pin(make_party(tx, new))).await
    }

    /// Does something to the player's party.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn step_party(&self, step: PartyStep) -> Result<PartyAnswer, StoreError> {
        self.db.write(Domain::Social, step, |tx, step| Box::pin(step_party(tx, step))).await
    }

    /// Brings a player into a party.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn join_party(
        &self,
        player: PlayerId,
        entrance: Entrance,
        now_ms: u64,
    ) -> Result<PartyAnswer, StoreError> {
        let input = (player, entrance, now_ms);
        self.db
            .write(Domain::Social, input, |tx, (player, entrance, now_ms)| {
                Box::pin(join_party(tx, *player, entrance, *now_ms))
            })
            .await
    }

    /// Invites a player into the inviter's party; the invited finds a message in its inbox.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn invite_to_party(
        &self,
        player: PlayerId,
        other: PlayerId,
        now_ms: u64,
    ) -> Result<Result<(), PartyFault>, StoreError> {
        self.db
            .write(Domain::Social, (player, other, now_ms), |tx, (player, other, now_ms)| {
                Box::pin(invite(tx, *player, *other, *now_ms))
            })
            .await
    }

    /// Declines an invitation; one that is not there changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn decline_party(&self, player: PlayerId, party_id: PartyId) -> Result<(), StoreError> {
        let sql = "DELETE FROM party_invites WHERE party_id = $1 AND player_id = $2";
        self.db.statement(Domain::Social, sql, args![party_id, player]).await.map(drop)
    }

    /// The party that a player is in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn party_of(&self, player: PlayerId) -> Result<Option<PartyView>, StoreError> {
        self.db.read(Domain::Social, player, |tx, player| Box::pin(party_of(tx, *player))).await
    }

    /// The invitations that a player has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn party_invites(&self, player: PlayerId, now_ms: u64) -> Result<Vec<InviteView>, StoreError> {
        let sql = "SELECT party_id, from_id, name, expires_at_ms FROM party_invites
                   JOIN accounts ON accounts.player_id = from_id
                   WHERE party_invites.player_id = $1 AND expires_at_ms > $2 ORDER BY at_ms, party_id";
        let rows = self.db.all(Domain::Social, sql, args![player, now_ms]).await?;
        let view =
            |(party_id, from_id, from_name, expires_at_ms)| InviteView { party_id, from_id, from_name, expires_at_ms };
        Ok(rows.into_iter().map(view).collect())
    }

    /// Tickets of which the matchmaker has to be told that they are cancelled, and since when.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn party_cancels(&self) -> Result<Vec<(TicketId, u64)>, StoreError> {
        let sql = "SELECT ticket_id, at_ms FROM party_cancels ORDER BY at_ms LIMIT 100";
        self.db.all(Domain::Social, sql, args![]).await
    }

    /// The matchmaker knows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn party_cancelled(&self, ticket: TicketId) -> Result<(), StoreError> {
        let sql = "DELETE FROM party_cancels WHERE ticket_id = $1";
        self.db.statement(Domain::Social, sql, args![ticket]).await.map(drop)
    }
}

async fn make_party(tx: &mut Tx, new: &NewParty) -> Result<PartyAnswer, StoreError> {
    if let Some(view) = party_of(tx, new.player).await? {
        let is_this = view.party.id == new.party_id;
        return Ok(if is_this { Ok(done(view, None)) } else { Err(PartyFault::InParty(view.party.id)) });
    }
    let party = Party::new(new.party_id, new.player, new.size_max, new.code.clone());
    tx.execute(
        "INSERT INTO parties (party_id, leader_id, version, size_max, code, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6)",
        args![party.id, party.leader, party.version, party.size_max, party.code, new.now_ms],
    )
    .await?;
    insert_member(tx, party.id, new.player, new.now_ms).await?;
    tell(tx, || vec![fact::party(&party, new.now_ms)]).await?;
    let view = view(tx, party).await?;
    Ok(Ok(done(view, None)))
}

async fn step_party(tx: &mut Tx, step: &PartyStep) -> Result<PartyAnswer, StoreError> {
    let Some(before) = load_of(tx, step.player).await? else { return Ok(Err(PartyFault::NoParty)) };
    // A repetition finds the ticket that it has set, not the version that it saw.
    let is_done = matches!(&step.act, PartyAct::Queue(ticket) if before.ticket == Some(*ticket));
    if !is_done && step.version.is_some_and(|version| version != before.version) {
        return Ok(Err(PartyFault::Changed));
    }
    take(tx, before, step.player, &step.act, step.now_ms).await
}

async fn join_party(tx: &mut Tx, player: PlayerId, by: &Entrance, now_ms: u64) -> Result<PartyAnswer, StoreError> {
    let party_id = match by {
        Entrance::Invitation(party_id) => Some(*party_id),
        Entrance::Code(code) => tx.optional("SELECT party_id FROM parties WHERE code = $1", args![code]).await?,
    };
    let refused = match by {
        Entrance::Invitation(_) => PartyFault::NotInvited,
        Entrance::Code(_) => PartyFault::UnknownCode,
    };
    let Some(before) = (match party_id {
        Some(party_id) => load(tx, party_id).await?,
        None => None,
    }) else {
        return Ok(Err(refused));
    };
    if let Some(current) = current_party(tx, player).await? {
        if current != before.id {
            return Ok(Err(PartyFault::InParty(current)));
        }
    } else if let Entrance::Invitation(party_id) = by {
        let sql = "SELECT from_id FROM party_invites WHERE party_id = $1 AND player_id = $2 AND expires_at_ms > $3";
        if tx.optional::<PlayerId>(sql, args![*party_id, player, now_ms]).await?.is_none() {
            return Ok(Err(refused));
        }
    } else if is_hidden(tx, player, before.leader).await? {
        // A code does not lead to somebody who has blocked the player.
        return Ok(Err(refused));
    }
    let joined = take(tx, before, player, &PartyAct::Join, now_ms).await?;
    if let Ok(done) = &joined {
        let sql = "DELETE FROM party_invites WHERE party_id = $1 AND player_id = $2";
        tx.execute(sql, args![done.view.party.id, player]).await?;
    }
    Ok(joined)
}

async fn invite(
    tx: &mut Tx,
    player: PlayerId,
    other: PlayerId,
    now_ms: u64,
) -> Result<Result<(), PartyFault>, StoreError> {
    let Some(view) = party_of(tx, player).await? else { return Ok(Err(PartyFault::NoParty)) };
    let party = view.party;
    if party.has(other) {
        return Ok(Ok(()));
    }
    if tx
        .optional::<String>("SELECT name FROM accounts WHERE player_id = $1 AND erased_at_ms IS NULL", args![other])
        .await?
        .is_none()
    {
        return Ok(Err(PartyFault::UnknownPlayer));
    }
    let sql = "SELECT (SELECT count(*) FROM party_invites WHERE party_id = $1 AND expires_at_ms > $3),
               (SELECT count(*) FROM party_invites WHERE player_id = $2 AND expires_at_ms > $3),
               (SELECT count(*) FROM party_invites WHERE party_id = $1 AND player_id = $2 AND expires_at_ms > $3)";
    let (of_party, of_player, same): (u64, u64, u64) = tx.one(sql, args![party.id, other, now_ms]).await?;
    if same > 0 {
        return Ok(Ok(()));
    }
    if of_player >= INVITES_PER_PLAYER_MAX || is_hidden(tx, player, other).await? {
        return Ok(Err(PartyFault::Unreachable));
    }
    if of_party >= INVITES_PER_PARTY_MAX {
        return Ok(Err(PartyFault::TooManyInvites));
    }
    let expires_at_ms = now_ms.saturating_add(INVITE_LIFE_MS);
    tx.execute(
        "INSERT INTO party_invites (party_id, player_id, from_id, at_ms, expires_at_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (party_id, player_id) DO UPDATE SET from_id = excluded.from_id, at_ms = excluded.at_ms,
         expires_at_ms = excluded.expires_at_ms",
        args![party.id, other, player, now_ms, expires_at_ms],
    )
    .await?;
    let name = party.members.iter().position(|member| member.player == player).map(|at| view.names[at].clone());
    let body = json!({ "party_id": party.id, "player_id": player, "name": name, "expires_at_ms": expires_at_ms });
    let key = format!("party_invite/{}/{now_ms}", party.id);
    let message = NewMessage { key, kind: "party_invite", sender: Some(player), body, at_ms: now_ms };
    inbox::put(tx, other, &message).await?;
    Ok(Ok(()))
}

/// Whether one of the two blocks the other.
async fn is_hidden(tx: &mut Tx, player: PlayerId, other: PlayerId) -> Result<bool, StoreError> {
    let between = between(tx, player, other).await?;
    Ok([between.own, between.theirs].contains(&Some(Tie::Blocked)))
}

/// Does it by the rules, and writes what has changed.
async fn take(
    tx: &mut Tx,
    before: Party,
    by: PlayerId,
    act: &PartyAct,
    now_ms: u64,
) -> Result<PartyAnswer, StoreError> {
    let mut after = before.clone();
    let consequence = match after.act(by, act) {
        Ok(consequence) => consequence,
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    if after != before {
        write_changes(tx, &before, &after, now_ms).await?;
        if is_news(&before, &after) {
            tell(tx, || vec![fact::party(&after, now_ms)]).await?;
        }
    }
    if let Some(ticket) = consequence.cancels {
        let sql = "INSERT INTO party_cancels (ticket_id, at_ms) VALUES ($1, $2) ON CONFLICT (ticket_id) DO NOTHING";
        tx.execute(sql, args![ticket, now_ms]).await?;
    }
    let is_changed = after != before;
    let mut done = done(view(tx, after).await?, consequence.gone);
    if !is_changed {
        done.touched.clear();
    }
    done.cancels = consequence.cancels.is_some();
    Ok(Ok(done))
}

/// Whether others are told: who is in it, who leads, whether it queues. Readiness and times to regions are for its members.
fn is_news(before: &Party, after: &Party) -> bool {
    before.players() != after.players()
        || (before.leader, before.ticket, before.code.is_some()) != (after.leader, after.ticket, after.code.is_some())
}

fn done(view: PartyView, gone: Option<PlayerId>) -> PartyDone {
    let touched = view.party.players().into_iter().chain(gone).collect();
    PartyDone { view, touched, cancels: false }
}

async fn write_changes(tx: &mut Tx, before: &Party, after: &Party, now_ms: u64) -> Result<(), StoreError> {
    for member in &before.members {
        if !after.has(member.player) {
            let sql = "DELETE FROM party_members WHERE player_id = $1";
            tx.execute(sql, args![member.player]).await?;
        }
    }
    if after.members.is_empty() {
        tx.execute("DELETE FROM party_invites WHERE party_id = $1", args![after.id]).await?;
        tx.execute("DELETE FROM parties WHERE party_id = $1", args![after.id]).await?;
        chat::forget(tx, &Channel::Party(after.id).key(after.leader)).await?;
        return Ok(());
    }
    for member in &after.members {
        match before.members.iter().find(|old| old.player == member.player) {
            None => insert_member(tx, after.id, member.player, now_ms).await?,
            Some(old) if old != member => {
                let rtts = serde_json::to_string(&member.rtts).expect("a map of numbers");
                let sql = "UPDATE party_members SET ready = $1, region_rtts = $2 WHERE player_id = $3";
                tx.execute(sql, args![member.ready, rtts, member.player]).await?;
            }
            Some(_) => {}
        }
    }
    let sql = "UPDATE parties SET leader_id = $1, version = $2, code = $3, ticket_id = $4 WHERE party_id = $5";
    tx.execute(sql, args![after.leader, after.version, after.code, after.ticket, after.id]).await.map(drop)
}

async fn insert_member(tx: &mut Tx, party_id: PartyId, player: PlayerId, now_ms: u64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO party_members (player_id, party_id, place, joined_at_ms, ready, region_rtts)
         SELECT $1, $2, coalesce(max(place), 0) + 1, $3, 0, '{}' FROM party_members WHERE party_id = $2",
        args![player, party_id, now_ms],
    )
    .await
    .map(drop)
}

pub(in crate::store) async fn current_party(tx: &mut Tx, player: PlayerId) -> Result<Option<PartyId>, StoreError> {
    tx.optional("SELECT party_id FROM party_members WHERE player_id = $1", args![player]).await
}

async fn load_of(tx: &mut Tx, player: PlayerId) -> Result<Option<Party>, StoreError> {
    match current_party(tx, player).await? {
        Some(party_id) => load(tx, party_id).await,
        None => Ok(None),
    }
}

/// Leader, version, size, code, ticket.
type PartyRow = (PlayerId, u64, u32, Option<String>, Option<TicketId>);

async fn load(tx: &mut Tx, id: PartyId) -> Result<Option<Party>, StoreError> {
    let sql = "SELECT leader_id, version, size_max, code, ticket_id FROM parties WHERE party_id = $1";
    let row: Option<PartyRow> = tx.optional(sql, args![id]).await?;
    let Some((leader, version, size_max, code, ticket)) = row else { return Ok(None) };
    let sql = "SELECT player_id, ready, region_rtts FROM party_members WHERE party_id = $1 ORDER BY place";
    let mut members = Vec::new();
    for (player, ready, rtts) in tx.all::<(PlayerId, bool, String)>(sql, args![id]).await? {
        let rtts = serde_json::from_str(&rtts).map_err(|error| StoreError::Unreadable(error.to_string()))?;
        members.push(Member { player, ready, rtts });
    }
    Ok(Some(Party { id, leader, version, size_max, code, ticket, members }))
}

pub(super) async fn party_of(tx: &mut Tx, player: PlayerId) -> Result<Option<PartyView>, StoreError> {
    match load_of(tx, player).await? {
        Some(party) => view(tx, party).await.map(Some),
        None => Ok(None),
    }
}

async fn view(tx: &mut Tx, party: Party) -> Result<PartyView, StoreError> {
    let sql = "SELECT name FROM party_members JOIN accounts ON accounts.player_id = party_members.player_id
               WHERE party_id = $1 ORDER BY place";
    let names = tx.all(sql, args![party.id]).await?;
    Ok(PartyView { party, names })
}

/// Removes invitations that have expired.
pub(super) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM party_invites WHERE expires_at_ms <= $1", args![now_ms]).await.map(drop)
}

/// Takes back what two players have invited each other to.
pub(super) async fn forget_invites(tx: &mut Tx, player: PlayerId, other: PlayerId) -> Result<(), StoreError> {
    let sql = "DELETE FROM party_invites
               WHERE (player_id = $1 AND from_id = $2) OR (player_id = $2 AND from_id = $1)";
    tx.execute(sql, args![player, other]).await.map(drop)
}
