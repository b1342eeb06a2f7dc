//! Words that every part of Muster shares, and nothing that acts: ids and ticks, signed tokens, the game
//! wire format, the services' gRPC.
//!
//! Nothing in this crate reads a clock, a socket or the operating system's randomness: times, keys and entropy
//! come as arguments, so the same code runs in a game server, in a client library and in a simulation.
//!
//! | module | owns |
//! |---|---|
//! | [`id`], [`tick`] | names of things and of moments |
//! | [`jwt`], [`token`], [`certificate`] | what is signed: join tokens, service tokens, match certificates, results |
//! | [`schema`] | a game's replicated data, as data, with canonical bytes and a hash |
//! | [`wire`] | bytes on the game's UDP port: packets, frames, refusals, limits |
//! | [`codec`] | the one place that knows bincode: reliable control messages and replay headers |
//! | [`gateway`] | the realtime gateway's messages as bytes, and their frames over TCP |
//! | [`pb`] | the services' gRPC, generated from `proto/` |
//! | [`agones_allocation`] | the interface of Agones' allocator, gRPC and JSON |

pub mod agones_allocation;
pub mod certificate;
pub mod codec;
pub mod gateway;
pub mod id;
pub mod jwt;
pub mod schema;
pub mod tick;
pub mod token;
pub mod wire;

/// The services' gRPC messages, clients and servers, generated from `proto/muster/v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod pb {
    tonic::include_proto!("muster.v1");
}
