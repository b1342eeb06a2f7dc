//! The system clock, for shells only: pure code gets the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
///
/// # Panics
/// If the system clock stands before 1970.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the system clock stands after 1970");
    u64::try_from(since.as_millis()).expect("milliseconds since 1970 fit 64 bits for 500 million years")
}

/// Seconds since the Unix epoch.
///
/// # Panics
/// If the system clock stands before 1970.
pub fn unix_s() -> u64 {
    unix_ms() / 1_000
}
