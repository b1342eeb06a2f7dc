//! What a login by password is answered with, by how it looks: the more it looks like guessing, the harder it gets.
//!
//! Whoever tries stolen lists of passwords (credential stuffing) fails with most of them, from many addresses, and never from
//! where the account's owner plays. So failures count against the account, against the network they come from, and, as a
//! ratio, against all logins of the installation; and an owner who comes from a place and a device that were seen before
//! is never locked out by strangers' failures.

use std::net::IpAddr;

/// Failures count for three windows of this length, in milliseconds: for 10 to 15 minutes.
pub const WINDOW_MS: u64 = 5 * 60_000;
/// Failures of one network after which it is refused.
const NETWORK_FAILURES_MAX: u64 = 100;
/// Failures of one account after which only known places and devices may try.
const ACCOUNT_FAILURES_MAX: u64 = 10;
/// The brake is on where so many logins failed, and so many of a hundred.
const BRAKE_FAILURES_MIN: u64 = 200;
const BRAKE_PERCENT: u64 = 60;
/// Longest pause before an answer.
const DELAY_MS: u64 = 1_500;

/// The network of an address: its /24, or for IPv6 its /56, which is what one customer of a provider has.
pub fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets()[..3].to_vec(),
        IpAddr::V6(v6) => v6.octets()[..7].to_vec(),
    }
}

/// What is known of a login.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs {
    /// Failed logins to this account.
    pub account_failures: u64,
    /// Failed logins from this network.
    pub network_failures: u64,
    /// Failed logins of all.
    pub all_failures: u64,
    /// Logins of all that did not fail.
    pub all_successes: u64,
    /// The account was played from this network before.
    pub place_is_known: bool,
    /// The account was played on this device before.
    pub device_is_known: bool,
}

/// What to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Allow,
    /// Answer later; milliseconds.
    Delay(u64),
    /// Ask for a code sent by mail, beside the password.
    Confirm,
    /// Refuse it, whatever the password is.
    Block,
}

impl Signs {
    /// Whether so many logins of the whole installation fail that somebody must be trying a list.
    pub fn is_braking(&self) -> bool {
        let all = self.all_failures + self.all_successes;
        self.all_failures >= BRAKE_FAILURES_MIN && self.all_failures * 100 >= all * BRAKE_PERCENT
    }

    /// How unusual the login looks, from 0 to about 200.
    pub fn score(&self) -> u64 {
        u64::from(!self.place_is_known) * 25
            + u64::from(!self.device_is_known) * 15
            + self.account_failures.min(10) * 6
            + self.network_failures.min(80) / 2
            + u64::from(self.is_braking()) * 30
    }

    /// What to do.
    pub fn step(&self) -> Step {
        let is_home = self.place_is_known && (self.device_is_known || self.account_failures < ACCOUNT_FAILURES_MAX);
        if self.network_failures >= NETWORK_FAILURES_MAX && !self.place_is_known {
            return Step::Block;
        }
        if self.account_failures >= ACCOUNT_FAILURES_MAX && !is_home {
            return Step::Block;
        }
        match self.score() {
            0..40 => Step::Allow,
            40..70 => Step::Delay(DELAY_MS * (self.score() - 35) / 35),
            _ if is_home => Step::Delay(DELAY_MS),
            _ => Step::Confirm,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOME: Signs = Signs {
        account_failures: 0,
        network_failures: 0,
        all_failures: 0,
        all_successes: 100,
        place_is_known: true,
        device_is_known: true,
    };

    #[test]
    fn the_ladder_goes_from_allow_over_delay_and_confirmation_to_block() {
        let stranger = Signs { place_is_known: false, device_is_known: false, ..HOME };
        assert_eq!(HOME.step(), Step::Allow);
        assert!(matches!(stranger.step(), Step::Delay(_)), "a new device on a new network");
        assert_eq!(Signs { account_failures: 5, ..stranger }.step(), Step::Confirm);
        assert_eq!(Signs { account_failures: 10, ..stranger }.step(), Step::Block);
        assert_eq!(Signs { network_failures: 100, ..stranger }.step(), Step::Block);
        let brake = Signs { all_failures: 300, all_successes: 100, ..stranger };
        assert_eq!(brake.step(), Step::Confirm, "while lists are tried, strangers confirm");
        assert_eq!(Signs { all_failures: 300, all_successes: 100, ..HOME }.step(), Step::Allow, "and owners do not");
    }

    #[test]
    fn a_network_is_what_one_customer_has() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.9"));
        assert_eq!(of("2001:db8:0:aa00::1"), of("2001:db8:0:aaff::2"));
        assert_ne!(of("2001:db8:0:aa00::1"), of("2001:db8:0:ab00::1"));
    }

    #[test]
    fn many_failures_among_many_more_logins_are_an_ordinary_evening() {
        let evening = Signs { all_failures: 500, all_successes: 9_500, ..HOME };
        assert!(!evening.is_braking());
        assert!(!Signs { all_failures: 150, all_successes: 0, ..HOME }.is_braking(), "too few to say");
        assert!(Signs { all_failures: 600, all_successes: 400, ..HOME }.is_braking());
    }

    proptest! {
        #[test]
        fn strangers_never_lock_the_owner_out(account in 0_u64..1_000, network in 0_u64..1_000, all in 0_u64..100_000) {
            let owner = Signs { account_failures: account, network_failures: network, all_failures: all, ..HOME };
            prop_assert!(matches!(owner.step(), Step::Allow | Step::Delay(_)), "{owner:?}: {:?}", owner.step());
        }

        #[test]
        fn nobody_waits_longer_than_the_bound_and_more_failures_are_never_easier(
            account in 0_u64..30, network in 0_u64..200, all in 0_u64..1_000,
        ) {
            let rank = |signs: Signs| match signs.step() {
                Step::Allow => 0,
                Step::Delay(ms) => { assert!(ms <= DELAY_MS, "{ms}"); 1 + ms },
                Step::Confirm => 10_000,
                Step::Block => 20_000,
            };
            let signs = Signs {
                account_failures: account, network_failures: network, all_failures: all, all_successes: 0,
                place_is_known: false, device_is_known: false,
            };
            let more = Signs { account_failures: account + 1, network_failures: network + 1, all_failures: all + 1, ..signs };
            prop_assert!(rank(more) >= rank(signs), "{signs:?}");
        }
    }
}
