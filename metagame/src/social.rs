//! Players among each other, as far as it needs more than the database: limits, and what others have to hear.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::id::PlayerId;
use protocol::pb::{self, GatewayStatus};
use tokio::sync::Notify;

use crate::config::Rate;
use crate::core::social::chat::{Channel, ChatText, ChatTextError};
use crate::gateway::fanout::{Fanout, News};
use crate::gateway::message;
use crate::limits::Buckets;
use crate::store::social::{ChatFault, ChatMessage, PartyDone, Said, Saying};
use crate::store::{Store, StoreError};

/// Guesses of lobby codes by one player: a minute's worth at once.
const GUESSES: Rate = Rate { per_second: 10.0 / 60.0, burst: 10.0 };
/// Guesses from one address: a school's worth.
const GUESSES_BY_ADDRESS: Rate = Rate { per_second: 1.0, burst: 60.0 };
/// What one player says in all its channels.
const SAYINGS: Rate = Rate { per_second: 1.0, burst: 8.0 };

/// What the handlers of players' dealings with each other share.
pub(crate) struct Social {
    guesses: Mutex<Buckets<PlayerId>>,
    guesses_by_address: Mutex<Buckets<IpAddr>>,
    sayings: Mutex<Buckets<PlayerId>>,
    fanout: Arc<dyn Fanout>,
    /// Wakes who tells the matchmaker of parties that have changed.
    pub(crate) party_changed: Arc<Notify>,
}

/// Why something is not said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SayFault {
    #[error("the channel is party, match or direct, with the id of the party, the match or the friend")]
    Channel,
    #[error("message_id is a hyphenated UUID")]
    MessageId,
    #[error(transparent)]
    Text(#[from] ChatTextError),
    #[error("you say too much at once: wait {0} s")]
    TooMuch(u64),
    #[error(transparent)]
    Refused(#[from] ChatFault),
    #[error("it cannot be kept now; say it again")]
    Store(#[from] StoreError),
}

impl SayFault {
    /// The kind of problem, and after how many milliseconds it is worth trying again.
    pub(crate) fn slug(&self) -> (&'static str, u32) {
        match self {
            Self::Channel => ("invalid-channel", 0),
            Self::MessageId => ("invalid-id", 0),
            Self::Text(_) => ("invalid-text", 0),
            Self::TooMuch(seconds) => ("too-many-requests", u32::try_from(seconds * 1_000).unwrap_or(u32::MAX)),
            Self::Refused(ChatFault::NotInChannel) => ("not-in-channel", 0),
            Self::Refused(ChatFault::Muted { .. }) => ("muted", 0),
            Self::Store(_) => ("storage-unavailable", 1_000),
        }
    }
}

impl Social {
    pub(crate) fn new(fanout: Arc<dyn Fanout>) -> Self {
        Self {
            guesses: Mutex::new(Buckets::new(GUESSES)),
            guesses_by_address: Mutex::new(Buckets::new(GUESSES_BY_ADDRESS)),
            sayings: Mutex::new(Buckets::new(SAYINGS)),
            fanout,
            party_changed: Arc::default(),
        }
    }

    /// Brings news to all gateways.
    pub(crate) fn publish(&self, news: News) {
        self.fanout.publish(news);
    }

    /// Counts a lobby code that somebody tries.
    ///
    /// # Errors
    /// Seconds until the next may be tried.
    pub(crate) fn guess(&self, player: PlayerId, address: IpAddr, now_ms: u64) -> Result<(), u64> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner).take(player, now_ms)?;
        self.guesses_by_address.lock().unwrap_or_else(PoisonError::into_inner).take(address, now_ms)
    }

    /// After a party has changed.
    pub(crate) fn party_done(&self, done: &PartyDone) {
        if done.cancels {
            self.party_changed.notify_one();
        }
        if !done.touched.is_empty() {
            self.publish(News::Refresh(done.touched.clone()));
        }
    }

    /// How a player is seen now, for those who may see it.
    pub(crate) fn see(&self, player: PlayerId, status: GatewayStatus, text: &str, to: Vec<PlayerId>) {
        self.publish(News::Presence { player, status: status.into(), text: text.to_owned(), to });
    }

    /// Says something where the player is, to all who hear it there.
    pub(crate) async fn say(
        &self,
        store: &Store,
        sender: PlayerId,
        channel: Channel,
        message_id: [u8; 16],
        text: ChatText,
        now_ms: u64,
    ) -> Result<ChatMessage, SayFault> {
        let counted = self.sayings.lock().unwrap_or_else(PoisonError::into_inner).take(sender, now_ms);
        counted.map_err(SayFault::TooMuch)?;
        let Said { message, audience } = store.say(Saying { sender, channel, message_id, text, now_ms }).await??;
        // The two of a direct channel know it by each other's names.
        let (own, others): (Vec<_>, Vec<_>) = audience.into_iter().partition(|player| *player == sender);
        for to in [own, others] {
            if let Some(player) = to.first() {
                let body = message::shared(message::chat(channel.seen_by(sender, *player), &message));
                self.publish(News::Deliver { body: body.to_vec(), to });
            }
        }
        Ok(message)
    }
}

/// The status of this name in the API.
pub(crate) fn read_status(name: &str) -> Option<GatewayStatus> {
    [GatewayStatus::Offline, GatewayStatus::Online, GatewayStatus::Away, GatewayStatus::Busy, GatewayStatus::InMatch]
        .into_iter()
        .find(|status| status_name(*status) == name)
}

/// The name of a status in the API.
pub(crate) fn status_name(status: GatewayStatus) -> &'static str {
    match status {
        pb::GatewayStatus::Offline => "offline",
        pb::GatewayStatus::Online => "online",
        pb::GatewayStatus::Away => "away",
        pb::GatewayStatus::Busy => "busy",
        pb::GatewayStatus::InMatch => "in_match",
    }
}
