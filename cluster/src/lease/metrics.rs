//! Every metric of an election, defined once.

use metrics::{counter, describe_counter, describe_gauge, gauge};

const LEADING: &str = "muster_lease_leading";
const FAULTS: &str = "muster_lease_faults_total";

/// Says what each metric means.
pub(crate) fn describe() {
    describe_gauge!(LEADING, "1 while this process leads by the Lease, 0 while it stands by");
    describe_counter!(FAULTS, "Reads and writes of the Lease that failed or came too late, by call");
}

/// Leading began, ended, or goes on.
pub(crate) fn leading(lease: &str, leads: bool) {
    gauge!(LEADING, "lease" => lease.to_owned()).set(f64::from(u8::from(leads)));
}

/// A call to the API server did not succeed.
pub(crate) fn fault(lease: &str, call: &'static str) {
    counter!(FAULTS, "lease" => lease.to_owned(), "call" => call).increment(1);
}
