//! Who may queue at the moment: nobody during maintenance, and no client that is too old.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::build::Build;

/// Longest message of a maintenance in bytes.
pub const MESSAGE_BYTES_MAX: usize = 512;
/// Longest time after which clients are told to come back, in seconds: a day.
pub const RETRY_AFTER_MAX_S: u64 = 86_400;
/// Most queues with a minimum build of their own.
pub const QUEUES_MAX: usize = 64;

/// What operators have decided.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admission {
    /// No new tickets while it is there; matches go on.
    pub maintenance: Option<Maintenance>,
    /// Oldest build of a client, for every queue that has none of its own.
    pub minimum_build: Option<String>,
    /// Oldest build of a client by queue.
    pub minimum_build_by_queue: BTreeMap<String, String>,
}

/// A maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// What players are told.
    pub message: String,
    /// When clients come back, in seconds.
    pub retry_after_s: u64,
}

/// Why a ticket is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody may queue now.
    Maintenance(Maintenance),
    /// The client is older than this build, or does not say what it is.
    TooOld {
        /// The oldest build that may queue.
        minimum: String,
    },
}

/// What is wrong with a decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The message.
    #[error("the message must have 1 to {MESSAGE_BYTES_MAX} bytes")]
    Message,
    /// The time to come back.
    #[error("retry_after_s must be 1 to {RETRY_AFTER_MAX_S}")]
    RetryAfter,
    /// A minimum build.
    #[error(transparent)]
    Build(#[from] super::build::NotABuild),
    /// Too many queues.
    #[error("at most {QUEUES_MAX} queues can have a minimum build of their own")]
    Queues,
}

impl Admission {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn validate(&self) -> Result<(), Fault> {
        if let Some(maintenance) = &self.maintenance {
            if !(1..=MESSAGE_BYTES_MAX).contains(&maintenance.message.trim().len()) {
                return Err(Fault::Message);
            }
            if !(1..=RETRY_AFTER_MAX_S).contains(&maintenance.retry_after_s) {
                return Err(Fault::RetryAfter);
            }
        }
        if self.minimum_build_by_queue.len() > QUEUES_MAX {
            return Err(Fault::Queues);
        }
        for build in self.minimum_build.iter().chain(self.minimum_build_by_queue.values()) {
            build.parse::<Build>()?;
        }
        Ok(())
    }

    /// The oldest build that may join a queue.
    pub fn minimum(&self, queue: &str) -> Option<&str> {
        self.minimum_build_by_queue.get(queue).or(self.minimum_build.as_ref()).map(String::as_str)
    }

    /// Whether a new ticket of a client of this build is taken; an empty build is one that the client does not say.
    ///
    /// # Errors
    /// The [`Refusal`]. Where a minimum is set, a build that cannot be compared is too old: nothing shows that it is not.
    pub fn check(&self, queue: &str, build: &str) -> Result<(), Refusal> {
        if let Some(maintenance) = &self.maintenance {
            return Err(Refusal::Maintenance(maintenance.clone()));
        }
        let Some(minimum) = self.minimum(queue) else { return Ok(()) };
        match (build.parse::<Build>(), minimum.parse::<Build>()) {
            (Ok(build), Ok(least)) if build >= least => Ok(()),
            _ => Err(Refusal::TooOld { minimum: minimum.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimum(build: &str) -> Admission {
        Admission { minimum_build: Some(build.to_owned()), ..Admission::default() }
    }

    #[test]
    fn maintenance_refuses_everyone_and_a_minimum_the_older_ones() {
        let open = Admission::default();
        assert_eq!(open.check("duel", ""), Ok(()));
        let closed = Maintenance { message: "back at noon".into(), retry_after_s: 60 };
        let maintenance = Admission { maintenance: Some(closed.clone()), ..Admission::default() };
        assert_eq!(maintenance.check("duel", "9.9"), Err(Refusal::Maintenance(closed)));
        let too_old = Err(Refusal::TooOld { minimum: "1.4.0".into() });
        for (build, verdict) in
            [("1.4", Ok(())), ("1.10", Ok(())), ("1.3.9", too_old.clone()), ("1.4.0-rc.1", too_old.clone())]
        {
            assert_eq!(minimum("1.4.0").check("duel", build), verdict, "{build}");
        }
        for silent in ["", "dev"] {
            assert_eq!(minimum("1.4.0").check("duel", silent), too_old, "{silent}");
        }
    }

    #[test]
    fn a_queue_of_its_own_minimum_does_not_follow_the_general_one() {
        let mut admission = minimum("2.0");
        admission.minimum_build_by_queue.insert("beta".into(), "1.0".into());
        assert_eq!(admission.check("beta", "1.5"), Ok(()));
        assert!(admission.check("duel", "1.5").is_err());
    }

    #[test]
    fn decisions_have_bounds() {
        let with = |message: &str, retry_after_s| Admission {
            maintenance: Some(Maintenance { message: message.into(), retry_after_s }),
            ..Admission::default()
        };
        assert_eq!(with("soon", 60).validate(), Ok(()));
        assert_eq!(with(" ", 60).validate(), Err(Fault::Message));
        assert_eq!(with(&"x".repeat(513), 60).validate(), Err(Fault::Message));
        assert_eq!(with("soon", 0).validate(), Err(Fault::RetryAfter));
        assert!(matches!(minimum("dev").validate(), Err(Fault::Build(_))));
        let queues = (0..65).map(|n| (format!("q{n}"), "1.0".to_owned())).collect();
        assert_eq!(Admission { minimum_build_by_queue: queues, ..Admission::default() }.validate(), Err(Fault::Queues));
    }
}
