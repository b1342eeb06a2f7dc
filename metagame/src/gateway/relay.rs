//! News between gateways, through Redis.
//!
//! Redis keeps none of it: who is not listening has missed it. As news only hastens what the database says anyway, whoever may
//! have missed some looks at everything again, a few sessions at a time. Without Redis each gateway goes on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use protocol::pb::GatewayStatus;
use serde::{Deserialize, Serialize};
use service::Shutdown;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::fanout::{Fanout, InProcess, News};
use super::hub::Hub;
use super::session::State;
use crate::metrics;
use crate::redis::{Redis, RedisError, TIMEOUT, Value, pipe};

/// Name of this part in metrics.
const PART: &str = "gateway";
/// News that wait to be published; more are given up, and the others look at everything.
const WAITING_MAX: usize = 4_096;
/// News that go out in one round trip.
const AT_ONCE: usize = 128;
/// How often a gateway is heard even if it has no news, itself included.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// A connection that has not brought even one's own beat for so long brings nothing.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Pause before another connection is tried.
const PAUSE: Duration = Duration::from_millis(500);
/// Sessions that look at everything again at once, and the pause before the next ones.
const SESSIONS_AT_ONCE: usize = 100;
const SESSIONS_PAUSE: Duration = Duration::from_millis(100);

/// What gateways tell each other.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wire {
    from: Uuid,
    what: Said,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Said {
    News(News),
    /// News were given up: look at everything again.
    Lost,
    /// It is there.
    Beat,
}

/// To the hub of this process, and to all others by the relay.
struct Relayed {
    hub: Arc<Hub>,
    waiting: mpsc::Sender<News>,
    has_lost: Arc<AtomicBool>,
}

impl Fanout for Relayed {
    fn publish(&self, news: News) {
        self.hub.take(&news);
        if self.waiting.try_send(news).is_err() {
            self.has_lost.store(true, Ordering::Relaxed);
            metrics::gateway_news("given_up", 1);
        }
    }
}

/// The task that speaks to the other gateways and hears them.
pub(crate) struct Relay {
    hub: Arc<Hub>,
    redis: Redis,
    waiting: mpsc::Receiver<News>,
    /// Something could not be said: the others are told once they can be.
    has_lost: Arc<AtomicBool>,
    fanout: Arc<dyn Fanout>,
    own: Uuid,
    channel: String,
}

/// How news are brought to the players: through `redis` to all gateways, or to those of this process alone.
pub(crate) fn open(hub: &Arc<Hub>, redis: Option<&Redis>) -> (Arc<dyn Fanout>, Option<Relay>) {
    let Some(redis) = redis else { return (Arc::new(InProcess(Arc::clone(hub))), None) };
    let (send, waiting) = mpsc::channel(WAITING_MAX);
    let has_lost = Arc::new(AtomicBool::new(false));
    let relayed = Relayed { hub: Arc::clone(hub), waiting: send, has_lost: Arc::clone(&has_lost) };
    let fanout: Arc<dyn Fanout> = Arc::new(relayed);
    let own = uuid::Builder::from_random_bytes(service::random::bytes()).into_uuid();
    let (hub, redis, channel) = (Arc::clone(hub), redis.clone(), redis.key("gateway"));
    let relay = Relay { hub, redis, waiting, has_lost, fanout: Arc::clone(&fanout), own, channel };
    (fanout, Some(relay))
}

impl Relay {
    /// Speaks and hears until shutdown.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let Self { hub, redis, waiting, has_lost, fanout, own, channel } = self;
        let speaker = Speaker { redis: redis.clone(), own, channel: channel.clone(), has_lost };
        let listener = Listener { hub, redis, own, channel, fanout };
        tokio::join!(speaker.run(waiting, &shutdown), listener.run(&shutdown));
    }
}

struct Speaker {
    redis: Redis,
    own: Uuid,
    channel: String,
    has_lost: Arc<AtomicBool>,
}

impl Speaker {
    async fn run(self, mut waiting: mpsc::Receiver<News>, shutdown: &Shutdown) {
        let mut some = Vec::with_capacity(AT_ONCE);
        let mut beat = tokio::time::interval(BEAT_EVERY);
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                count = waiting.recv_many(&mut some, AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    self.say(some.drain(..).map(Said::News).collect()).await;
                }
                _ = beat.tick() => self.say(vec![Said::Beat]).await,
            }
        }
    }

    async fn say(&self, mut said: Vec<Said>) {
        if self.has_lost.swap(false, Ordering::Relaxed) {
            said.push(Said::Lost);
        }
        let count = said.len() as u64;
        let mut commands = pipe();
        for what in said {
            let wire = Wire { from: self.own, what };
            let text = serde_json::to_vec(&wire).expect("news are plain data");
            commands.cmd("PUBLISH").arg(&self.channel).arg(text).ignore();
        }
        let published: Result<Value, RedisError> = self.redis.pipeline(PART, &commands).await;
        if published.is_err() {
            self.has_lost.store(true, Ordering::Relaxed);
        }
        metrics::gateway_news(if published.is_ok() { "said" } else { "unsaid" }, count);
    }
}

struct Listener {
    hub: Arc<Hub>,
    redis: Redis,
    own: Uuid,
    channel: String,
    fanout: Arc<dyn Fanout>,
}

impl Listener {
    async fn run(self, shutdown: &Shutdown) {
        let mut is_first = true;
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = self.hear(&mut is_first) => {}
            }
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Hears the others until the connection breaks or is silent.
    async fn hear(&self, is_first: &mut bool) {
        let Ok(mut connection) = self.redis.pubsub(PART).await else { return };
        let subscribed = tokio::time::timeout(TIMEOUT, connection.subscribe(&self.channel)).await;
        if !matches!(subscribed, Ok(Ok(()))) {
            return;
        }
        if !std::mem::take(is_first) {
            self.look_again().await;
        }
        let mut messages = connection.on_message();
        while let Ok(Some(message)) = tokio::time::timeout(SILENCE_MAX, messages.next()).await {
            match serde_json::from_slice::<Wire>(message.get_payload_bytes()) {
                Ok(wire) if wire.from == self.own => {}
                Ok(Wire { what: Said::News(news), .. }) => self.take(&news),
                Ok(Wire { what: Said::Lost, .. }) => self.look_again().await,
                Ok(Wire { what: Said::Beat, .. }) => {}
                // A gateway of another version, whose news this one does not know: what they hasten is found later.
                Err(_) => metrics::gateway_news("unknown", 1),
            }
        }
    }

    fn take(&self, news: &News) {
        metrics::gateway_news("heard", 1);
        match self.contradict(news) {
            Some(right) => self.fanout.publish(right),
            None => self.hub.take(news),
        }
    }

    /// Another gateway says that a player has gone which has come here: how it is really seen.
    fn contradict(&self, news: &News) -> Option<News> {
        let News::Presence { player, status, .. } = news else { return None };
        if *status != i32::from(GatewayStatus::Offline) {
            return None;
        }
        let session = self.hub.of(*player).into_iter().next()?;
        let seen = self.hub.presences.get(*player, service::clock::unix_ms())?;
        let to = session.watchers();
        Some(News::Presence { player: *player, status: seen.status.into(), text: seen.text, to })
    }

    /// Something may have been missed: every session looks at what it should know.
    async fn look_again(&self) {
        for some in self.hub.all().chunks(SESSIONS_AT_ONCE) {
            some.iter().for_each(|session| session.set(State::refresh));
            tokio::time::sleep(SESSIONS_PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::PlayerId;

    use super::*;

    #[test]
    fn news_arrive_as_they_were_said() {
        let players = vec![PlayerId::from_entropy([1; 16]), PlayerId::from_entropy([2; 16])];
        let (player, to) = (players[0], players.clone());
        for news in [
            News::Refresh(players.clone()),
            News::Inbox(players.clone()),
            News::Deliver { to: players, body: (0..=255).collect() },
            News::Moved { session: Uuid::from_u128(7), turn: 2 },
            News::Presence { player, status: 2, text: "tea \"time\"".into(), to },
        ] {
            let wire = Wire { from: Uuid::nil(), what: Said::News(news) };
            let bytes = serde_json::to_vec(&wire).expect("plain data");
            assert_eq!(serde_json::from_slice::<Wire>(&bytes).expect("the same"), wire);
        }
    }
}
