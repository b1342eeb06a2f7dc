//! Metagame as clients, game servers and operators see it: real HTTP, real gRPC to fakes of matchmaker and allocator.

mod admission;
mod bad_input;
mod checkout;
mod economy;
mod fakes;
mod gamemesh;
mod harness;
mod identities;
mod kv;
mod live;
mod mail;
mod migrate_store;
mod openapi;
mod passwords;
mod players;
mod privacy;
mod progression;
mod results;
mod sanctions;
mod sessions;
mod start;
mod tickets;
mod webhooks;
