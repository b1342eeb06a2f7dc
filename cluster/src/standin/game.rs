//! A game server without a game, for tests of the states: it does through the SDK what an annotation of its GameServer
//! tells it to.

use std::time::Duration;

use agones::pb::sdk_client::SdkClient;
use agones::pb::{self, Empty};
use futures_util::stream;
use tonic::transport::Channel;

/// The annotation with the order: a number that grows, a word, and its argument: `3 reserve 0`.
pub const ORDER: &str = "standin.muster.dev/order";
/// Between two tries to reach the SDK server.
const CONNECT_INTERVAL: Duration = Duration::from_millis(200);
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// What a game server can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Ready,
    Allocate,
    Reserve(i64),
    Shutdown,
    /// Send no health pings any more.
    FallSilent,
    Exit(u8),
}

impl Order {
    /// Number and order of an annotation's value.
    fn parse(text: &str) -> Option<(u64, Self)> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let order = match words.get(1..)? {
            ["ready"] => Self::Ready,
            ["allocate"] => Self::Allocate,
            ["reserve", seconds] => Self::Reserve(seconds.parse().ok()?),
            ["shutdown"] => Self::Shutdown,
            ["fall-silent"] => Self::FallSilent,
            ["exit", status] => Self::Exit(status.parse().ok()?),
            _ => return None,
        };
        Some((words.first()?.parse().ok()?, order))
    }
}

/// Runs until an order ends it; answers the exit status. `first` is an order's word and argument, done at the start.
///
/// # Errors
/// If the SDK server goes away.
pub async fn run(sdk_port: u16, first: &str) -> Result<u8, tonic::Status> {
    let mut sdk = connect(sdk_port).await;
    let mut pings = tokio::spawn(ping(sdk.clone()));
    let (mut done, mut watched) = (0, sdk.watch_game_server(Empty {}).await?.into_inner());
    let mut next = Order::parse(&format!("0 {first}"));
    loop {
        if let Some((_, order)) = next.take() {
            tracing::info!(?order, "told");
            match order {
                Order::Ready => drop(sdk.ready(Empty {}).await?),
                Order::Allocate => drop(sdk.allocate(Empty {}).await?),
                Order::Reserve(seconds) => drop(sdk.reserve(pb::Duration { seconds }).await?),
                Order::Shutdown => drop(sdk.shutdown(Empty {}).await?),
                Order::FallSilent => pings.abort(),
                Order::Exit(status) => return Ok(status),
            }
        }
        tokio::select! {
            server = watched.message() => {
                let Some(server) = server? else { return Ok(1) };
                let meta = server.object_meta.unwrap_or_default();
                let order = meta.annotations.get(ORDER).and_then(|text| Order::parse(text));
                next = order.filter(|(number, _)| *number > done);
                done = next.map_or(done, |(number, _)| number);
            }
            ended = &mut pings, if !pings.is_finished() => tracing::info!(?ended, "no more pings"),
        }
    }
}

async fn connect(port: u16) -> SdkClient<Channel> {
    loop {
        match SdkClient::connect(format!("http://127.0.0.1:{port}")).await {
            Ok(sdk) => return sdk,
            Err(_) => tokio::time::sleep(CONNECT_INTERVAL).await,
        }
    }
}

async fn ping(mut sdk: SdkClient<Channel>) {
    let pings = stream::unfold((), |()| async {
        tokio::time::sleep(PING_INTERVAL).await;
        Some((Empty {}, ()))
    });
    if let Err(error) = sdk.health(pings).await {
        tracing::info!(%error, "the stream of pings ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_number_a_word_and_its_argument() {
        assert_eq!(Order::parse("3 reserve 0"), Some((3, Order::Reserve(0))));
        assert_eq!(Order::parse("0 allocate"), Some((0, Order::Allocate)));
        for wrong in ["", "3", "reserve 0", "1 reserve", "1 dance", "1 exit 999"] {
            assert_eq!(Order::parse(wrong), None, "{wrong}");
        }
    }
}
