//! What other systems are told of what happens: the types of events, and the form in which they go out.
//!
//! An event is one fact. Its id is made of the fact, so a fact that is told again is the same event; its subject is what it
//! happened to, and of one subject later events come later; its data has ids, figures and names of things, and of a person never
//! more than the player's id. [`fact`] makes them, the book's page "Events" lists them.

pub mod fact;
mod rounds;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::core::match_event::iso_8601;

pub use rounds::rounds;

/// What the type of every event begins with, outside.
const PREFIX: &str = "dev.muster";

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident $name:literal v $version:literal,)*) => {
        /// What an event tells.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum EventType { $($(#[$doc])* $variant,)* }

        impl EventType {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in settings, in subjects of messages and in the database.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Which form its data has. A field that is taken away or means something else makes a new version; one more field
            /// does not.
            pub fn version(self) -> u32 {
                match self { $(Self::$variant => $version,)* }
            }
        }
    };
}

event_types! {
    /// A player has an account.
    AccountCreated "account.created" v 1,
    /// A player is forgotten: whoever keeps something of it does the same now.
    AccountErased "account.erased" v 1,
    /// A ban or a mute begins.
    SanctionImposed "sanction.imposed" v 1,
    /// It ends before its time.
    SanctionLifted "sanction.lifted" v 1,
    /// The first tick of a match was played.
    MatchStarted "match.started" v 1,
    /// A match is over and its result is recorded.
    MatchEnded "match.ended" v 1,
    /// A match's server is gone.
    MatchLost "match.lost" v 1,
    /// A player has bought something with a currency of the game.
    PurchaseCompleted "purchase.completed" v 1,
    /// A player wants to buy something with money of the world.
    OrderOpened "order.opened" v 1,
    /// What is known of its payment has changed: paid, refunded, disputed.
    OrderChanged "order.changed" v 1,
    /// A player was given currency or goods.
    GrantMade "grant.made" v 1,
    /// A player has reached the goal of an achievement or a challenge.
    GoalReached "goal.reached" v 1,
    /// A player has a higher level.
    LevelReached "level.reached" v 1,
    /// A player begins anew, with one more prestige.
    PrestigeReached "prestige.reached" v 1,
    /// A player has fetched what it has reached.
    RewardClaimed "reward.claimed" v 1,
    /// A season takes in no result any more.
    SeasonArchived "season.archived" v 1,
    /// A party or a lobby is there, or has other members, another leader or another ticket.
    PartyChanged "party.changed" v 1,
    /// A party or a lobby has no members any more.
    PartyDisbanded "party.disbanded" v 1,
}

/// A name that is no type of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no type of event: the page \"Events\" of the book lists them")]
pub struct UnknownType(String);

impl FromStr for EventType {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        Self::ALL.iter().copied().find(|one| one.name() == text).ok_or_else(|| UnknownType(text.to_owned()))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A fact as a use case tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The same for the same fact, for ever: visible ASCII without dots.
    pub id: String,
    /// What it tells.
    pub event_type: EventType,
    /// What it happened to: `player/<id>`, `match/<id>`, `party/<id>`, `season/<id>`.
    pub subject: String,
    /// JSON.
    pub data: String,
    /// Unix milliseconds of the fact.
    pub at_ms: u64,
}

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Ascending within a subject.
    pub sequence: u64,
    /// Its id.
    pub id: String,
    /// Name of its type. Not an [`EventType`]: a newer program may have written it.
    pub type_name: String,
    /// Version of its type.
    pub version: u32,
    /// What it happened to.
    pub subject: String,
    /// JSON.
    pub data: String,
    /// Unix milliseconds of the fact.
    pub at_ms: u64,
}

impl Event {
    /// Its type as it is called outside.
    pub fn full_type(&self) -> String {
        format!("{PREFIX}.{}.v{}", self.type_name, self.version)
    }

    /// The event as webhooks are told of it.
    pub fn webhook_body(&self) -> String {
        #[derive(Serialize)]
        struct Told<'a> {
            id: &'a str,
            r#type: &'a str,
            timestamp: String,
            data: Box<RawValue>,
        }
        let told =
            Told { id: &self.id, r#type: &self.type_name, timestamp: iso_8601(self.at_ms), data: self.raw_data() };
        serde_json::to_string(&told).expect("an event is plain data")
    }

    fn raw_data(&self) -> Box<RawValue> {
        let text = |_| to_raw_value(&self.data).expect("a text is JSON");
        RawValue::from_string(self.data.clone()).unwrap_or_else(text)
    }

    /// The event in the structured JSON form of CloudEvents 1.0, with the extension attribute `sequence`. `source` names the
    /// installation, within which ids are unique.
    pub fn cloud_event(&self, source: &str) -> String {
        #[derive(Serialize)]
        struct CloudEvent<'a> {
            specversion: &'static str,
            id: &'a str,
            source: &'a str,
            r#type: String,
            subject: &'a str,
            time: String,
            sequence: String,
            datacontenttype: &'static str,
            data: Box<RawValue>,
        }
        let event = CloudEvent {
            specversion: "1.0",
            id: &self.id,
            source,
            r#type: self.full_type(),
            subject: &self.subject,
            time: iso_8601(self.at_ms),
            // Of one length, so that they compare as texts.
            sequence: format!("{:020}", self.sequence),
            datacontenttype: "application/json",
            data: self.raw_data(),
        };
        serde_json::to_string(&event).expect("an event is plain data")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_event_has_the_form_of_cloud_events() {
        let event = Event {
            sequence: 7,
            id: "account_created_1".into(),
            type_name: "account.created".into(),
            version: 1,
            subject: "player/1".into(),
            data: r#"{"player_id":"1"}"#.into(),
            at_ms: 1_700_000_000_123,
        };
        let read: Value = serde_json::from_str(&event.cloud_event("/muster/abc")).expect("JSON");
        let expected = json!({
            "specversion": "1.0",
            "id": "account_created_1",
            "source": "/muster/abc",
            "type": "dev.muster.account.created.v1",
            "subject": "player/1",
            "time": "2023-11-14T22:13:20.123Z",
            "sequence": "00000000000000000007",
            "datacontenttype": "application/json",
            "data": {"player_id": "1"},
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn names_of_types_are_read_again_and_fit_into_subjects_of_messages() {
        for one in EventType::ALL {
            assert_eq!(one.name().parse(), Ok(*one));
            assert!(one.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.'), "{one}");
            assert_eq!(one.name().split('.').count(), 2, "{one}");
        }
        assert!("account.renamed".parse::<EventType>().is_err());
    }

    #[test]
    fn the_book_lists_every_type_and_no_other() {
        let page = include_str!("../../../../docs/book/src/metagame/events.md");
        let listed: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        let listed: Vec<&str> = listed.into_iter().filter(|name| name.contains('.')).collect();
        let all: Vec<&str> = EventType::ALL.iter().map(|one| one.name()).collect();
        assert_eq!(listed, all);
    }
}
