//! All `MatchQueue`s together: which of them are served, and what is wrong with the others.
//!
//! Of two that claim the same name the elder serves it. One that was served and is edited into something that cannot
//! be served goes on with the rules it had, as long as this process lives.

use std::collections::BTreeMap;

use crds::MatchQueue;
use kube::Resource as _;
use kube::core::error_boundary::InvalidObject;

use super::queue;
use crate::core::queue_config::{QUEUES_MAX, QueueConfig, QueueFault, Queues, Source};

/// A resource as it was watched: whole, or not even of the right types.
pub(super) type Watched = Result<MatchQueue, Box<InvalidObject>>;

/// Remembers the rules that are in force.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// By resource, as `namespace/name`.
    in_force: BTreeMap<String, QueueConfig>,
}

impl Served {
    /// The queues to serve and the faults to report, from all resources that there are.
    pub(super) fn look<'a>(&mut self, resources: impl IntoIterator<Item = &'a Watched>) -> (Queues, Vec<QueueFault>) {
        let mut resources: Vec<&Watched> =
            resources.into_iter().filter(|watched| metadata(watched).deletion_timestamp.is_none()).collect();
        resources.sort_by_cached_key(|watched| {
            // One without a time is not from an API server; it comes last.
            let created = metadata(watched).creation_timestamp.as_ref().map(|time| time.0);
            (created.is_none(), created, source(watched).resource)
        });
        let mut queues: Vec<QueueConfig> = Vec::new();
        let mut faults = Vec::new();
        for watched in resources {
            let source = source(watched);
            let config = match read(watched, &source) {
                Ok(config) => config,
                Err(faulty) => {
                    let standing = self.in_force.get(&source.resource).cloned();
                    faults.push(fault(&source, faulty.queue, "Invalid", invalid(&faulty.sentences, standing.as_ref())));
                    let Some(standing) = standing else { continue };
                    standing
                }
            };
            if let Some(elder) = queues.iter().find(|queue| queue.name == config.name) {
                let message = format!(
                    "MatchQueue {} serves queue \"{}\" already: give this one another spec.queue, or delete one of the two",
                    elder.source.resource, elder.name
                );
                faults.push(fault(&source, config.name, "NameTaken", message));
            } else if queues.len() == QUEUES_MAX {
                let message =
                    format!("{QUEUES_MAX} queues are served already, which is the most: delete one that is older");
                faults.push(fault(&source, config.name, "TooManyQueues", message));
            } else {
                queues.push(config);
            }
        }
        self.in_force = queues.iter().map(|queue| (queue.source.resource.clone(), queue.clone())).collect();
        (Queues::of(queues), faults)
    }
}

/// What is wrong with one resource.
struct Faulty {
    /// Name that tickets would give.
    queue: String,
    sentences: Vec<String>,
}

fn read(watched: &Watched, source: &Source) -> Result<QueueConfig, Faulty> {
    match watched {
        Ok(resource) => queue::read(resource, source.clone())
            .map_err(|sentences| Faulty { queue: resource.queue_name().to_owned(), sentences }),
        Err(object) => Err(Faulty {
            queue: object.metadata.name.clone().unwrap_or_default(),
            sentences: vec![format!("it cannot be read ({}): are the CRDs as new as the matchmaker?", object.error)],
        }),
    }
}

fn invalid(sentences: &[String], standing: Option<&QueueConfig>) -> String {
    let so_far = match standing {
        Some(standing) => format!("the rules of generation {} stay in force", standing.source.generation),
        None => "it is not served".to_owned(),
    };
    format!("{}; {so_far}", sentences.join("; "))
}

fn fault(source: &Source, queue: String, reason: &'static str, message: String) -> QueueFault {
    QueueFault { source: source.clone(), queue, reason, message }
}

fn metadata(watched: &Watched) -> &kube::api::ObjectMeta {
    match watched {
        Ok(resource) => resource.meta(),
        Err(object) => &object.metadata,
    }
}

fn source(watched: &Watched) -> Source {
    let metadata = metadata(watched);
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    Source {
        resource: format!("{}/{}", part(&metadata.namespace), part(&metadata.name)),
        generation: metadata.generation.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(namespace: &str, name: &str, created: u32, teams: u32) -> Watched {
        let manifest = json!({
            "apiVersion": "muster.dev/v1alpha1", "kind": "MatchQueue",
            "metadata": {
                "name": name, "namespace": namespace, "generation": teams,
                "creationTimestamp": format!("2026-01-01T00:00:{created:02}Z")
            },
            "spec": { "queue": "duel", "teams": teams, "playersPerTeam": 1, "fleet": "arena" }
        });
        Ok(serde_json::from_value(manifest).expect("a queue by its types"))
    }

    fn named(mut watched: Watched, queue: &str) -> Watched {
        if let Ok(resource) = &mut watched {
            resource.spec.queue = Some(queue.to_owned());
        }
        watched
    }

    fn sources(queues: &Queues) -> Vec<&str> {
        queues.as_slice().iter().map(|queue| queue.source.resource.as_str()).collect()
    }

    #[test]
    fn of_two_with_one_name_the_elder_serves_it_and_the_other_is_reported() {
        let mut served = Served::default();
        let (young, old) = (resource("a", "young", 9, 2), resource("b", "old", 1, 2));
        let (queues, faults) = served.look([&young, &old]);
        assert_eq!(sources(&queues), ["b/old"]);
        assert_eq!((faults[0].reason, faults[0].source.resource.as_str()), ("NameTaken", "a/young"));
        assert!(faults[0].message.contains("b/old serves queue \"duel\" already"), "{}", faults[0].message);

        let (queues, faults) = served.look([&young]);
        assert_eq!((sources(&queues), faults.len()), (vec!["a/young"], 0), "with the elder gone it is served");
    }

    #[test]
    fn a_bad_edit_keeps_the_rules_that_were_in_force_and_says_so() {
        let mut served = Served::default();
        served.look([&resource("a", "q", 1, 2)]);
        let (queues, faults) = served.look([&resource("a", "q", 1, 200)]);
        assert_eq!((queues.as_slice()[0].teams, queues.as_slice()[0].source.generation), (2, 2));
        assert_eq!((faults[0].reason, faults[0].source.generation), ("Invalid", 200));
        assert!(faults[0].message.ends_with("the rules of generation 2 stay in force"), "{}", faults[0].message);

        let (queues, faults) = Served::default().look([&resource("a", "q", 1, 200)]);
        assert!(queues.as_slice().is_empty() && faults[0].message.ends_with("it is not served"));
    }

    #[test]
    fn one_that_cannot_be_read_harms_no_other() {
        let broken = Err(Box::new(InvalidObject {
            error: "missing field `teams`".into(),
            metadata: resource("a", "broken", 1, 2).expect("whole").metadata,
        }));
        let (queues, faults) = Served::default().look([&broken, &resource("a", "q", 2, 2)]);
        assert_eq!(sources(&queues), ["a/q"]);
        assert!(faults[0].reason == "Invalid" && faults[0].message.contains("missing field `teams`"));
    }

    #[test]
    fn one_that_is_being_deleted_takes_no_more_tickets() {
        let mut going = resource("a", "q", 1, 2);
        if let Ok(resource) = &mut going {
            resource.metadata.deletion_timestamp = resource.metadata.creation_timestamp.clone();
        }
        let (queues, faults) = Served::default().look([&going]);
        assert!(queues.as_slice().is_empty() && faults.is_empty());
    }

    #[test]
    fn no_more_are_served_than_a_matchmaker_can() {
        let many: Vec<Watched> =
            (0..=QUEUES_MAX).map(|n| named(resource("a", &format!("q{n:02}"), 1, 2), &format!("q{n}"))).collect();
        let (queues, faults) = Served::default().look(&many);
        assert_eq!((queues.as_slice().len(), faults.len()), (QUEUES_MAX, 1));
        assert_eq!((faults[0].reason, faults[0].source.resource.as_str()), ("TooManyQueues", "a/q64"));
    }
}
