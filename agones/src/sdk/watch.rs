//! Follows the GameServer: the watch, opened again whenever it ends, and a read at intervals.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::channel::{Client, call};
use super::{SdkError, Timing};
use crate::backoff::{Backoff, entropy};
use crate::metrics;
use crate::observed::Observed;
use crate::pb;
use crate::state::State;

/// Publishes every object that the SDK server shows, for ever.
pub(super) async fn follow(mut client: Client, timing: Timing, observed: watch::Sender<Option<Observed>>) {
    let mut backoff = Backoff::new(timing.backoff_first, timing.backoff_max);
    loop {
        match follow_once(&mut client, &timing, &observed, &mut backoff).await {
            Ok(()) => tracing::debug!("the SDK server ended the GameServer watch; opening it again"),
            Err(error) => tracing::debug!(%error, "lost the GameServer watch; opening it again"),
        }
        metrics::sdk_watch_restart();
        tokio::time::sleep(backoff.next(entropy()).max(Duration::from_millis(10))).await;
    }
}

async fn follow_once(
    client: &mut Client,
    timing: &Timing,
    observed: &watch::Sender<Option<Observed>>,
    backoff: &mut Backoff,
) -> Result<(), SdkError> {
    let mut reader = client.clone();
    let mut stream = call("WatchGameServer", timing.call_timeout, client.watch_game_server(pb::Empty {})).await?;
    let mut resync = interval(timing.resync);
    resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
    resync.reset();
    loop {
        tokio::select! {
            message = stream.message() => match message {
                Ok(Some(server)) => {
                    backoff.reset();
                    publish(observed, server);
                }
                Ok(None) => return Ok(()),
                Err(status) => {
                    let message = status.message().to_owned();
                    return Err(SdkError::Unavailable { call: "WatchGameServer", message });
                }
            },
            // A read that fails means that the watch is as good as dead.
            _ = resync.tick() => {
                let server = call("GetGameServer", timing.call_timeout, reader.get_game_server(pb::Empty {})).await?;
                publish(observed, server);
            }
        }
    }
}

fn publish(observed: &watch::Sender<Option<Observed>>, server: pb::GameServer) {
    let server = Observed::from(server);
    if server.state == State::Unknown {
        tracing::warn!(server = server.name, "the SDK server shows a state that this version does not know");
    }
    observed.send_if_modified(|last| {
        let changed = last.as_ref() != Some(&server);
        if changed && last.as_ref().is_none_or(|last| last.state != server.state) {
            tracing::info!(server = server.name, state = %server.state, "GameServer state observed");
        }
        *last = Some(server);
        changed
    });
}
