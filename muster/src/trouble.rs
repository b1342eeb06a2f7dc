//! What bots have to put up with: bad networks, and mishaps on purpose.

use std::time::Duration;

use clap::Args;
use netcode::emulator::Conditions;

/// A network that is as bad as asked, between every bot and its server, and churn.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TroubleOptions {
    /// Share of datagrams that are lost, 0 to 1, in each direction.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share, help_heading = "Trouble")]
    pub(crate) loss: f64,
    /// Round trip that the network adds, in milliseconds: half of it in each direction.
    #[arg(long, default_value_t = 0, value_name = "MS", value_parser = ms(), help_heading = "Trouble")]
    pub(crate) latency: u64,
    /// How much longer a datagram takes at most, in milliseconds, evenly distributed, in each direction.
    #[arg(long, default_value_t = 0, value_name = "MS", value_parser = ms(), help_heading = "Trouble")]
    pub(crate) jitter: u64,
    /// Share of datagrams that are held back by 20 ms, 0 to 1, in each direction.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share, help_heading = "Trouble")]
    pub(crate) reorder: f64,
    /// Share of datagrams that arrive twice, 0 to 1, in each direction.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share, help_heading = "Trouble")]
    pub(crate) duplicate: f64,
    /// Share of bots that begin on native UDP, 0 to 1; the others begin on QUIC. Who gets no answer tries the other one.
    #[arg(long, default_value_t = 1.0, value_name = "SHARE", value_parser = share)]
    pub(crate) udp_share: f64,
    /// In every match, kill and relaunch one bot, give one another address, and move one to the other carrier.
    #[arg(long, help_heading = "Trouble")]
    pub(crate) churn: bool,
}

impl TroubleOptions {
    /// The conditions of one direction; none for a network that is left alone.
    pub(crate) fn conditions(&self) -> Option<Conditions> {
        let conditions = Conditions {
            latency: Duration::from_millis(self.latency) / 2,
            jitter: Duration::from_millis(self.jitter),
            loss: self.loss,
            reorder: self.reorder,
            duplicate: self.duplicate,
            ..Conditions::PERFECT
        };
        (conditions != Conditions::PERFECT).then_some(conditions)
    }
}

/// Longest delay that can be asked for.
fn ms() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(0..=2_000)
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("must be 0 to 1; 5 % is 0.05".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_trouble_is_no_emulation_and_latency_is_a_round_trip() {
        assert_eq!(TroubleOptions { churn: true, ..TroubleOptions::default() }.conditions(), None);
        let trouble = TroubleOptions { latency: 60, jitter: 15, loss: 0.05, ..TroubleOptions::default() };
        let conditions = trouble.conditions().expect("trouble");
        assert_eq!((conditions.latency, conditions.jitter), (Duration::from_millis(30), Duration::from_millis(15)));
    }

    #[test]
    fn a_share_is_between_nothing_and_everything() {
        assert!(share("0.05").is_ok() && share("1").is_ok());
        assert!(share("1.1").is_err() && share("-0.1").is_err() && share("NaN").is_err() && share("x").is_err());
    }
}
