//! The tests of `tests/api` once more, with PostgreSQL as the database; those of SQLite's file and of the document stay there.

#[path = "api/admission.rs"]
mod admission;
#[path = "api/bad_input.rs"]
mod bad_input;
#[path = "api/checkout.rs"]
mod checkout;
#[path = "api/economy.rs"]
mod economy;
#[path = "api/events.rs"]
mod events;
#[path = "api/fakes.rs"]
mod fakes;
#[path = "api/gamemesh.rs"]
mod gamemesh;
#[path = "api/harness.rs"]
mod harness;
#[path = "api/identities.rs"]
mod identities;
#[path = "api/kv.rs"]
mod kv;
#[path = "api/live.rs"]
mod live;
#[path = "api/oidc.rs"]
mod oidc;
#[path = "api/passkeys.rs"]
mod passkeys;
#[path = "api/passwords.rs"]
mod passwords;
#[path = "api/players.rs"]
mod players;
#[path = "api/privacy.rs"]
mod privacy;
#[path = "api/progression.rs"]
mod progression;
#[path = "api/results.rs"]
mod results;
#[path = "api/rules.rs"]
mod rules;
#[path = "api/sanctions.rs"]
mod sanctions;
#[path = "api/sessions.rs"]
mod sessions;
#[path = "api/steam.rs"]
mod steam;
#[path = "api/telemetry.rs"]
mod telemetry;
#[path = "api/tickets.rs"]
mod tickets;
#[path = "api/two_instances.rs"]
mod two_instances;
#[path = "api/vouchers.rs"]
mod vouchers;
#[path = "api/webhooks.rs"]
mod webhooks;
#[path = "api/whole.rs"]
mod whole;
