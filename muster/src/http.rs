//! How this program asks services over HTTP.

use std::time::Duration;

/// A client for the services of an installation. They are neighbours: a proxy that the environment names for the world
/// outside has no way to them.
pub(crate) fn client(patience: Duration) -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().timeout(patience).build();
    client.expect("a client with the defaults but for proxy and time can be built")
}
