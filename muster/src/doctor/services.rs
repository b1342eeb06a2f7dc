//! The services' own word: `/readyz` of each, and the fleet as the allocator counts it.

use std::net::SocketAddr;
use std::time::Duration;

use super::finding::Finding;
use crate::http;

const PATIENCE: Duration = Duration::from_secs(3);

/// What an admin port says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ready {
    /// Ready.
    Yes,
    /// It answers that it is not.
    No,
    /// It does not answer, or not as Muster does.
    Away,
}

/// Asks an admin port.
pub(super) async fn ready(admin: SocketAddr) -> Ready {
    match get(admin, "readyz").await {
        Some((200, text)) if text.trim() == "ready" => Ready::Yes,
        Some((503, text)) if text.trim() == "not ready" => Ready::No,
        _ => Ready::Away,
    }
}

async fn get(admin: SocketAddr, path: &str) -> Option<(u16, String)> {
    let ask = async {
        let answer = http::client(PATIENCE).get(format!("http://{admin}/{path}")).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.ok()?))
    };
    ask.await
}

/// A service's word; nothing where no platform runs.
pub(super) fn examine(name: &str, admin: SocketAddr, is_running: bool, ready: &Ready) -> Option<Finding> {
    match ready {
        Ready::Yes => Some(Finding::ok(name, "ready")),
        Ready::No => Some(Finding::fail(name, "answers that it is not ready", "look into its log")),
        Ready::Away if is_running => {
            let found = format!("does not answer at http://{admin}, although the platform runs");
            Some(Finding::fail(name, found, "look into its log; name its addresses if they are not the usual ones"))
        }
        Ready::Away => None,
    }
}

/// The fleet, as the allocator counts it.
pub(super) async fn fleet(admin: SocketAddr, ready: &Ready) -> Option<Finding> {
    if *ready == Ready::Away {
        return None;
    }
    let (_, metrics) = get(admin, "metrics").await?;
    Some(judge(&metrics))
}

fn judge(metrics: &str) -> Finding {
    let servers = |state: &str| figure(metrics, &format!("muster_allocator_servers{{link=\"{state}\"}}"));
    let (linked, suspect) = (servers("linked"), servers("suspect"));
    let free = figure(metrics, "muster_allocator_free_rooms");
    let found = format!("{linked} servers linked, {suspect} suspect, {free} free rooms");
    if linked == 0.0 {
        Finding::fail("fleet", found, "no game server is registered: look into the fleet's log for servers that end")
    } else if suspect > 0.0 {
        Finding::warn("fleet", found, "suspect servers have lost their link: look into their logs")
    } else if free == 0.0 {
        Finding::warn("fleet", found, "every room is taken: players wait; raise --servers-max or --capacity")
    } else {
        Finding::ok("fleet", found)
    }
}

/// A figure of the metrics page; 0 where it is not there.
fn figure(metrics: &str, name: &str) -> f64 {
    let value = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
    metrics.lines().find_map(value).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn a_fleet_is_judged_by_its_servers() {
        let page = |linked: u32, suspect: u32, free: u32| {
            format!(
                "# TYPE muster_allocator_servers gauge\nmuster_allocator_servers{{link=\"linked\"}} {linked}\n\
                 muster_allocator_servers{{link=\"suspect\"}} {suspect}\nmuster_allocator_free_rooms {free}\n"
            )
        };
        assert_eq!(judge(&page(2, 0, 3)).status, Status::Ok);
        assert_eq!(judge(&page(2, 1, 3)).status, Status::Warn);
        assert_eq!(judge(&page(2, 0, 0)).status, Status::Warn);
        assert_eq!(judge(&page(0, 0, 0)).status, Status::Fail);
        assert!(judge(&page(2, 0, 3)).found.starts_with("2 servers linked"), "{:?}", judge(&page(2, 0, 3)));
    }

    #[test]
    fn silence_is_a_failure_only_of_a_platform_that_runs() {
        let admin = ([127, 0, 0, 1], 7101).into();
        assert_eq!(examine("metagame", admin, false, &Ready::Away), None);
        assert_eq!(examine("metagame", admin, true, &Ready::Away).map(|f| f.status), Some(Status::Fail));
        assert_eq!(examine("metagame", admin, true, &Ready::No).map(|f| f.status), Some(Status::Fail));
        assert_eq!(examine("metagame", admin, true, &Ready::Yes).map(|f| f.status), Some(Status::Ok));
    }
}
