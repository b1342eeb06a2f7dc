//! The interface of Agones' allocator service: gRPC messages generated from `proto/agones/allocation.proto`, which read
//! and write the JSON of its REST interface as well.

mod generated {
    #![allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
    tonic::include_proto!("allocation");
}
pub mod json;

pub use generated::*;
