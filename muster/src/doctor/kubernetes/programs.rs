//! Muster's own programs: Leases, pods, and their word on their admin ports.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::ListParams;

use super::super::finding::Finding;
use super::{Installation, unseen};
use crate::kube_proxy::{self, ProxyError};

/// The programs and their admin ports.
const PARTS: [(&str, u16); 4] = [("operator", 7_141), ("allocator", 7_111), ("matchmaker", 7_121), ("metagame", 7_101)];
/// Leases of the programs of which one leads.
const LEASES: [&str; 2] = ["muster-operator", "muster-allocator"];
/// A Lease that was renewed longer ago than so many of its durations is nobody's.
const DURATIONS_MAX: i64 = 2;
const SECTION: &str = "programs";

/// The Leases: held, and renewed in time.
pub(super) async fn leases(installation: &Installation) -> Vec<Finding> {
    let leases = Api::<Lease>::namespaced(installation.client.clone(), &installation.namespace);
    let mut findings = Vec::new();
    for name in LEASES {
        let check = format!("Lease {name}");
        findings.push(match leases.get_opt(name).await {
            Ok(lease) => judge_lease(check, lease.and_then(|lease| lease.spec).as_ref(), Timestamp::now()),
            Err(error) => unseen(check, &error, SECTION),
        });
    }
    findings
}

fn judge_lease(check: String, lease: Option<&LeaseSpec>, now: Timestamp) -> Finding {
    let advice = "look whether its pods run and reach the API server (below), and into their logs";
    let Some(lease) = lease else {
        return Finding::fail(check, "is not there: nobody has ever led", advice).more(SECTION);
    };
    let holder = lease.holder_identity.as_deref().unwrap_or_default();
    let renewed = lease.renew_time.as_ref().map_or(i64::MIN, |time| time.0.as_second());
    let age_s = now.as_second().saturating_sub(renewed);
    let duration_s = i64::from(lease.lease_duration_seconds.unwrap_or(0)).max(1);
    if holder.is_empty() {
        Finding::fail(check, "is held by nobody", advice).more(SECTION)
    } else if age_s > DURATIONS_MAX * duration_s {
        Finding::fail(check, format!("{holder} has not renewed it for {age_s} s"), advice).more(SECTION)
    } else {
        Finding::ok(check, format!("held by {holder}, renewed {} s ago", age_s.max(0)))
    }
}

/// Each program's pods, and what they say on `/readyz`.
pub(super) async fn pods(installation: &Installation) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (part, port) in PARTS {
        findings.push(program(installation, part, port).await);
    }
    findings
}

async fn program(installation: &Installation, part: &str, port: u16) -> Finding {
    let (client, namespace) = (&installation.client, installation.namespace.as_str());
    let selector = format!(
        "app.kubernetes.io/name=muster,app.kubernetes.io/instance={},app.kubernetes.io/component={part}",
        installation.release
    );
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let pods = match pods.list(&ListParams::default().labels(&selector)).await {
        Ok(list) => list.items,
        Err(error) => return unseen(part, &error, SECTION),
    };
    let mut words = Vec::new();
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let name = pod.name_any();
        let word = match trouble(pod) {
            Some(trouble) => Word::Down(trouble),
            None => match kube_proxy::get(client, namespace, &name, port, "readyz").await {
                Ok(_) => Word::Ready,
                Err(ProxyError::Status { text, .. }) => Word::NotReady(text),
                Err(error) => Word::Unheard(error.to_string()),
            },
        };
        words.push((name, word));
    }
    judge_program(part, namespace, &words)
}

/// What is known of a pod.
#[derive(Debug, Clone, PartialEq)]
enum Word {
    Ready,
    /// It answers that it is not ready.
    NotReady(String),
    /// It does not run.
    Down(String),
    /// It runs, and its admin port is out of reach.
    Unheard(String),
}

/// Why a pod does not run.
fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let waiting = status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.clone().unwrap_or_default();
        Some(format!(
            "{reason} {} (restarted {} times)",
            waiting.message.clone().unwrap_or_default(),
            container.restart_count
        ))
    });
    waiting.or_else(|| {
        let phase = status.phase.as_deref().unwrap_or_default();
        (phase != "Running").then(|| phase.to_owned())
    })
}

fn judge_program(part: &str, namespace: &str, words: &[(String, Word)]) -> Finding {
    let ready = words.iter().filter(|(_, word)| *word == Word::Ready).count();
    let worst = words.iter().find_map(|(pod, word)| match word {
        Word::Ready => None,
        Word::NotReady(text) => Some(format!("{pod} answers: {text}")),
        Word::Down(text) => Some(format!("{pod} does not run: {text}")),
        Word::Unheard(text) => Some(format!("{pod}: {text}")),
    });
    let only_unheard = words.iter().all(|(_, word)| matches!(word, Word::Ready | Word::Unheard(_)));
    let logs = format!("kubectl -n {namespace} logs -l app.kubernetes.io/component={part} --tail=50");
    match worst {
        _ if words.is_empty() => Finding::fail(
            part,
            format!("has no pod in {namespace}"),
            "install the chart, or name --namespace and --release",
        )
        .more(SECTION),
        None => Finding::ok(part, format!("{ready} of {} ready", words.len())),
        // Policies of the network may keep the API server away from admin ports.
        Some(worst) if only_unheard => {
            Finding::warn(part, worst, "allow the API server to reach it, or look from inside").more(SECTION)
        }
        Some(worst) if ready > 0 => {
            Finding::warn(part, format!("{ready} of {} ready; {worst}", words.len()), logs).more(SECTION)
        }
        Some(worst) => Finding::fail(part, worst, logs).more(SECTION),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn a_lease_has_to_be_held_and_renewed() {
        let now = Timestamp::from_second(1_000).expect("in range");
        let lease = |holder: &str, renewed: i64| LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).expect("in range"))),
            ..LeaseSpec::default()
        };
        let of = |lease: Option<&LeaseSpec>| judge_lease("x".into(), lease, now).status;
        assert_eq!(of(Some(&lease("pod@1", 990))), Status::Ok);
        assert_eq!(of(Some(&lease("pod@1", 1_003))), Status::Ok, "clocks differ a little");
        assert_eq!(of(Some(&lease("pod@1", 900))), Status::Fail);
        assert_eq!(of(Some(&lease("", 999))), Status::Fail);
        assert_eq!((of(None), of(Some(&LeaseSpec::default()))), (Status::Fail, Status::Fail));
    }

    #[test]
    fn a_program_is_as_well_as_its_pods() {
        let of = |words: &[Word]| {
            let words: Vec<_> = words.iter().map(|word| ("p".to_owned(), word.clone())).collect();
            judge_program("allocator", "x", &words).status
        };
        let (down, unheard) = (Word::Down("Pending".into()), Word::Unheard("timeout".into()));
        assert_eq!((of(&[]), of(&[Word::Ready, Word::Ready])), (Status::Fail, Status::Ok));
        assert_eq!((of(&[Word::Ready, down.clone()]), of(std::slice::from_ref(&down))), (Status::Warn, Status::Fail));
        assert_eq!((of(std::slice::from_ref(&unheard)), of(&[unheard, down])), (Status::Warn, Status::Fail));
        assert_eq!(of(&[Word::NotReady("not ready".into())]), Status::Fail);
    }
}
