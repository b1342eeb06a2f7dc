//! The fleet of game-server processes beside the platform, and what the allocator hears of it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agones::local::{FleetConfig, Retire, ServerStatus};
use tokio::sync::watch;

use super::FleetSize;
use super::data::{SPOOL, ServiceData};
use crate::played::PlayedGame;

/// What a server that was told to drain needs beyond its deadline, to end its matches and hand in their results.
pub(super) const HANDING_IN: Duration = Duration::from_secs(10);

/// A fleet of the game's servers.
pub(crate) fn config(
    data: &ServiceData,
    game: &PlayedGame,
    size: FleetSize,
    advertise: IpAddr,
    [allocator, metagame]: [&str; 2],
    drain: Duration,
) -> FleetConfig {
    let bind = if advertise.is_loopback() { advertise.to_string() } else { "0.0.0.0".to_owned() };
    let mut command = game.command.clone();
    let drain_flag = format!("--drain-deadline={}ms", drain.as_millis());
    let flags = [
        "--name={name}",
        "--fleet={fleet}",
        "--region={region}",
        "--capacity={capacity}",
        &format!("--allocator={allocator}"),
        &format!("--metagame={metagame}"),
        &format!("--bind={bind}:0"),
        &drain_flag,
    ];
    command.extend(flags.into_iter().map(str::to_owned));
    command.push(format!("--service-key={}", data.path("service.key").display()));
    command.push(format!("--spool={}", data.path(SPOOL).display()));

    let mut fleet = FleetConfig::new(&game.fleet, command, size.minimum, size.maximum, size.buffer);
    fleet.address = advertise.to_string();
    fleet.capacity = size.capacity;
    fleet.drain_deadline = drain + HANDING_IN;
    fleet.env_hidden = crate::cli::platform_variables();
    fleet
}

/// Has the allocator that runs now ask idle servers to leave.
pub(super) fn retire(handle: watch::Receiver<allocator::Handle>) -> Retire {
    Arc::new(move |name: &str| {
        let (handle, name) = (handle.borrow().clone(), name.to_owned());
        tokio::spawn(async move {
            if let Err(error) = handle.retire(&name).await {
                tracing::debug!(server = name, %error, "not retired");
            }
        });
    })
}

/// Tells the allocator which servers exist and which are gone, for as long as the fleet lives.
pub(crate) async fn report(
    mut servers: watch::Receiver<Vec<ServerStatus>>,
    allocator: watch::Receiver<allocator::Handle>,
    expected: Arc<watch::Sender<BTreeSet<String>>>,
    most: Arc<AtomicU64>,
) {
    let mut known = BTreeSet::new();
    loop {
        let now: BTreeSet<String> = servers.borrow_and_update().iter().map(|server| server.name.clone()).collect();
        most.fetch_max(now.len() as u64, Ordering::Relaxed);
        expected.send_replace(now.clone());
        for name in known.difference(&now) {
            let handle = allocator.borrow().clone();
            handle.server_gone(name).await;
        }
        known = now;
        if servers.changed().await.is_err() {
            return;
        }
    }
}
