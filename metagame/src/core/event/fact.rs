//! The facts that are told, one function for each type of event: what its id is made of and what its data has.
//!
//! Whoever adds one: of a person nothing but the player's id goes in; no names, no words of anybody, no addresses, no names of
//! operators. Events outlive an erasure, in streams that nobody here can reach.

use protocol::id::{MatchId, PlayerId};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{EventType, NewEvent};
use crate::core::catalog::Part;
use crate::core::inventory::{Goods, Item};
use crate::core::match_event::{EventKind, MatchEvent};
use crate::core::payment::{Due, Price};
use crate::core::sanction::SanctionKind;
use crate::core::social::party::Party;

/// A player has an account.
pub fn account_created(player: PlayerId, at_ms: u64) -> NewEvent {
    of_player(EventType::AccountCreated, player, &player.to_string(), json!({}), at_ms)
}

/// A player is forgotten.
pub fn account_erased(player: PlayerId, at_ms: u64) -> NewEvent {
    of_player(EventType::AccountErased, player, &player.to_string(), json!({}), at_ms)
}

/// A ban or a mute begins; `until_ms` of `None` is for ever.
pub fn sanction_imposed(
    player: PlayerId,
    sanction_id: Uuid,
    kind: SanctionKind,
    reason: &str,
    until_ms: Option<u64>,
    at_ms: u64,
) -> NewEvent {
    let data = json!({ "sanction_id": sanction_id, "sanction": kind.name(), "reason": reason, "until_ms": until_ms });
    of_player(EventType::SanctionImposed, player, &sanction_id.to_string(), data, at_ms)
}

/// A ban begins because a vendor of anti-cheat says so; `message_id` is the vendor's.
pub fn anti_cheat_ban(player: PlayerId, vendor: &str, message_id: &str, until_ms: u64, at_ms: u64) -> NewEvent {
    let data = json!({ "sanction_id": null, "sanction": SanctionKind::Ban.name(), "reason": "anti-cheat",
                       "vendor": vendor, "until_ms": until_ms });
    of_player(EventType::SanctionImposed, player, &digest(&[vendor, message_id]), data, at_ms)
}

/// A ban or a mute ends before its time.
pub fn sanction_lifted(player: PlayerId, sanction_id: Uuid, kind: SanctionKind, reason: &str, at_ms: u64) -> NewEvent {
    let data = json!({ "sanction_id": sanction_id, "sanction": kind.name(), "reason": reason });
    of_player(EventType::SanctionLifted, player, &sanction_id.to_string(), data, at_ms)
}

/// What webhooks are told of a match, without the players' names.
pub fn of_match(event: &MatchEvent) -> NewEvent {
    let event_type = match event.kind {
        EventKind::Started => EventType::MatchStarted,
        EventKind::Ended => EventType::MatchEnded,
        EventKind::Lost => EventType::MatchLost,
    };
    let mut told: Value = serde_json::from_str(&event.body).expect("it was written as JSON");
    let mut data = told["data"].take();
    take_names(&mut data);
    let subject = format!("match/{}", event.match_id);
    NewEvent { id: event.id(), event_type, subject, data: data.to_string(), at_ms: event.at_ms }
}

/// A player has bought something with a currency of the game.
#[derive(Debug, Clone, Copy)]
pub struct Purchased<'a> {
    /// Who.
    pub player: PlayerId,
    /// The entry in the books.
    pub purchase_id: &'a [u8; 16],
    /// Which offer.
    pub offer: &'a str,
    /// How many of it.
    pub quantity: u64,
    /// Paid in what.
    pub currency: &'a str,
    /// How much, in minor units.
    pub paid: u64,
    /// Currencies that it gave, in minor units.
    pub currencies: &'a [(String, u64)],
    /// Items that it gave.
    pub items: &'a [Item],
}

/// See [`EventType::PurchaseCompleted`].
pub fn purchase_completed(one: Purchased<'_>, at_ms: u64) -> NewEvent {
    let id = hex::encode(one.purchase_id);
    let items: Vec<Value> = one.items.iter().map(|item| goods(&item.definition, item.version, item.quantity)).collect();
    let data = json!({
        "purchase_id": id, "offer": one.offer, "quantity": one.quantity, "currency": one.currency, "paid": one.paid,
        "currencies": amounts(one.currencies), "items": items,
    });
    of_player(EventType::PurchaseCompleted, one.player, &id, data, at_ms)
}

/// An order for money of the world.
#[derive(Debug, Clone, Copy)]
pub struct Ordered<'a> {
    /// Whose.
    pub player: PlayerId,
    /// Which.
    pub order_id: Uuid,
    /// Which offer.
    pub offer: &'a str,
    /// How many of it.
    pub quantity: u64,
    /// What all of it costs.
    pub price: &'a Price,
}

impl Ordered<'_> {
    fn data(&self, state: &str) -> Value {
        json!({ "order_id": self.order_id, "offer": self.offer, "quantity": self.quantity, "state": state,
                "money": self.price.money, "amount": self.price.amount })
    }
}

/// See [`EventType::OrderOpened`].
pub fn order_opened(one: Ordered<'_>, state: &str, at_ms: u64) -> NewEvent {
    of_player(EventType::OrderOpened, one.player, &one.order_id.to_string(), one.data(state), at_ms)
}

/// See [`EventType::OrderChanged`]. `facts` is everything that is known of its payment: it only grows, so it names the change.
pub fn order_changed(one: Ordered<'_>, due: &Due, facts: &str, at_ms: u64) -> NewEvent {
    let mut data = one.data(due.state.name());
    data["paid"] = due.total.into();
    data["taken_back"] = due.taken.into();
    data["held"] = due.held.into();
    let cause = digest(&[&one.order_id.to_string(), facts]);
    of_player(EventType::OrderChanged, one.player, &cause, data, at_ms)
}

/// A player was given something.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Who has it.
    pub player: PlayerId,
    /// The entry in the books.
    pub grant_id: &'a [u8; 16],
    /// Why, as a kind: `match`, `claim`, `operator`.
    pub kind: &'a str,
    /// The match that led to it.
    pub match_id: Option<MatchId>,
    /// Currencies, in minor units.
    pub currencies: &'a [(String, u64)],
    /// Goods.
    pub goods: &'a [Goods],
}

/// See [`EventType::GrantMade`].
pub fn grant_made(one: Given<'_>, at_ms: u64) -> NewEvent {
    let id = hex::encode(one.grant_id);
    let items: Vec<Value> = one.goods.iter().map(|one| goods(&one.definition, one.version, one.quantity)).collect();
    let data = json!({ "grant_id": id, "kind": one.kind, "match_id": one.match_id,
                       "currencies": amounts(one.currencies), "items": items });
    of_player(EventType::GrantMade, one.player, &id, data, at_ms)
}

/// A player has reached the goal of `achievement:<id>` or `challenge:<id>`; `period` is the day's or week's number, 0 where it lasts.
pub fn goal_reached(player: PlayerId, goal: &str, period: u64, at_ms: u64) -> NewEvent {
    let cause = digest(&[&player.to_string(), goal, &period.to_string()]);
    of_player(EventType::GoalReached, player, &cause, json!({ "goal": goal, "period": period }), at_ms)
}

/// A player has a higher level.
pub fn level_reached(player: PlayerId, level: u32, prestige: u32, at_ms: u64) -> NewEvent {
    let cause = format!("{player}_{prestige}_{level}");
    of_player(EventType::LevelReached, player, &cause, json!({ "level": level, "prestige": prestige }), at_ms)
}

/// A player begins anew.
pub fn prestige_reached(player: PlayerId, prestige: u32, at_ms: u64) -> NewEvent {
    let cause = format!("{player}_{prestige}");
    of_player(EventType::PrestigeReached, player, &cause, json!({ "prestige": prestige }), at_ms)
}

/// A player has fetched what it has reached; `claim` names it as `GET /v1/progression` does.
pub fn reward_claimed(player: PlayerId, claim: &str, gave: &[Part], at_ms: u64) -> NewEvent {
    let cause = digest(&[&player.to_string(), claim]);
    of_player(EventType::RewardClaimed, player, &cause, json!({ "claim": claim, "gave": gave }), at_ms)
}

/// A season takes in no result any more.
pub fn season_archived(season: &str, rules_version: u32, ended_at_ms: u64, at_ms: u64) -> NewEvent {
    let data = json!({ "season": season, "rules_version": rules_version, "ended_at_ms": ended_at_ms });
    of_thing(EventType::SeasonArchived, format!("season/{season}"), &digest(&[season]), &data, at_ms)
}

/// A party is there, or is another one than before; without members it is over. Its code is a secret of its members.
pub fn party(party: &Party, at_ms: u64) -> NewEvent {
    let (subject, id) = (format!("party/{}", party.id), party.id.to_string());
    if party.members.is_empty() {
        let data = json!({ "party_id": party.id });
        return of_thing(EventType::PartyDisbanded, subject, &id, &data, at_ms);
    }
    let data = json!({
        "party_id": party.id, "version": party.version, "is_lobby": party.code.is_some(), "leader_id": party.leader,
        "members": party.players(), "size_max": party.size_max, "ticket_id": party.ticket,
    });
    of_thing(EventType::PartyChanged, subject, &format!("{id}_{}", party.version), &data, at_ms)
}

fn of_player(event_type: EventType, player: PlayerId, cause: &str, mut data: Value, at_ms: u64) -> NewEvent {
    data["player_id"] = json!(player);
    of_thing(event_type, format!("player/{player}"), cause, &data, at_ms)
}

fn of_thing(event_type: EventType, subject: String, cause: &str, data: &Value, at_ms: u64) -> NewEvent {
    let id = format!("{}_{cause}", event_type.name().replace('.', "_"));
    NewEvent { id, event_type, subject, data: data.to_string(), at_ms }
}

/// Names of operators' making become part of an id of fixed length, whatever is in them.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

fn goods(item: &str, version: u32, quantity: u64) -> Value {
    json!({ "item": item, "version": version, "quantity": quantity })
}

fn amounts(currencies: &[(String, u64)]) -> Vec<Value> {
    currencies.iter().map(|(currency, amount)| json!({ "currency": currency, "amount": amount })).collect()
}

/// Takes the names out of whatever names a player.
fn take_names(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.contains_key("player_id") {
                members.remove("name");
            }
            members.values_mut().for_each(take_names);
        }
        Value::Array(all) => all.iter_mut().for_each(take_names),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::match_event::{EventPlayer, MatchFacts, Placement};

    fn player(n: u8) -> PlayerId {
        PlayerId::from_entropy([n; 16])
    }

    #[test]
    fn a_match_goes_out_under_the_same_id_and_without_names() {
        let facts = MatchFacts {
            match_id: MatchId::from_entropy([9; 16]),
            queue: "duel".into(),
            trace_id: "t".into(),
            placement: Placement { server_name: "arena-1".into(), ..Placement::default() },
        };
        let seat = |n, name: &str| EventPlayer { player_id: player(n), name: name.into() };
        let told = MatchEvent::started(&facts, [(1, vec![seat(1, "Ada"), seat(2, "Bob")])].into(), 5);
        let event = of_match(&told);
        assert_eq!((event.id, event.at_ms), (told.id(), 5));
        assert_eq!(event.subject, format!("match/{}", facts.match_id));
        assert!(!event.data.contains("Ada") && !event.data.contains("Bob"), "{}", event.data);
        let data: Value = serde_json::from_str(&event.data).expect("JSON");
        assert_eq!((&data["server_name"], &data["queue"]), (&"arena-1".into(), &"duel".into()));
        assert_eq!(data["teams"][0]["players"][1]["player_id"], player(2).to_string());
    }

    #[test]
    fn ids_are_those_of_the_fact_and_fit_into_headers() {
        let goal = |n, goal: &str, period| goal_reached(player(n), goal, period, 0).id;
        assert_eq!(goal(1, "achievement:ä b.c", 0), goal(1, "achievement:ä b.c", 0));
        for other in [goal(2, "achievement:ä b.c", 0), goal(1, "achievement:ä", 0), goal(1, "achievement:ä b.c", 1)]
        {
            assert_ne!(other, goal(1, "achievement:ä b.c", 0));
        }
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        let id = reward_claimed(player(1), "tier:s 1:2:free", &[], 0).id;
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.'), "{id}");
    }

    #[test]
    fn a_lobby_does_not_tell_its_code() {
        let id = protocol::id::PartyId::from_entropy([3; 16]);
        let lobby = Party::new(id, player(1), 4, Some("SECRET".into()));
        let event = party(&lobby, 0);
        assert!(!event.data.contains("SECRET") && event.data.contains("\"is_lobby\":true"), "{}", event.data);
        let over = party(&Party { members: vec![], ..lobby }, 0);
        assert_eq!(over.event_type, EventType::PartyDisbanded);
        assert_eq!(over.subject, event.subject);
    }
}
