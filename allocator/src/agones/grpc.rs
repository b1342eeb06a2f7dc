//! Agones' `allocation.AllocationService`.

use std::time::Duration;

use protocol::agones_allocation as pb;
use protocol::agones_allocation::allocation_service_server::AllocationService;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::convert;
use super::engine::Engine;
use super::error::AllocateError;

/// Header by which a caller says how long it is ready to wait for a game server, in milliseconds. Without it, it is not.
pub(super) const WAIT: &str = "muster-wait-ms";

/// Serves the service.
pub(super) struct Grpc(pub(super) Engine);

#[tonic::async_trait]
impl AllocationService for Grpc {
    async fn allocate(
        &self,
        request: Request<pb::AllocationRequest>,
    ) -> Result<Response<pb::AllocationResponse>, Status> {
        let wait = wait(request.metadata())?;
        allocate(&self.0, request.into_inner(), wait).await.map(Response::new)
    }
}

fn wait(metadata: &MetadataMap) -> Result<Duration, Status> {
    match metadata.get(WAIT) {
        None => Ok(Duration::ZERO),
        Some(value) => parse_wait(value.to_str().unwrap_or("")),
    }
}

/// How long a caller is ready to wait.
pub(super) fn parse_wait(text: &str) -> Result<Duration, Status> {
    let millis =
        text.parse().map_err(|_| Status::invalid_argument(format!("{WAIT}: a whole number of milliseconds")))?;
    Ok(Duration::from_millis(millis))
}

/// One request, from either interface.
pub(super) async fn allocate(
    engine: &Engine,
    message: pb::AllocationRequest,
    wait: Duration,
) -> Result<pb::AllocationResponse, Status> {
    let request = convert::request(message).map_err(|error| Status::invalid_argument(error.to_string()))?;
    match engine.allocate(request, wait).await {
        Ok(given) => {
            tracing::info!(server = %given.server.key, repeated = given.repeated, "given out");
            Ok(convert::response(&given.server))
        }
        Err(error) => {
            tracing::info!(%error, "no game server given out");
            Err(status(&error))
        }
    }
}

/// The same codes as Agones' allocator has for the same reasons.
pub(super) fn status(error: &AllocateError) -> Status {
    let text = error.to_string();
    match error {
        AllocateError::NoServer | AllocateError::QueueFull(_) => Status::resource_exhausted(text),
        AllocateError::Contention => Status::aborted(text),
        AllocateError::MusterPool(_) => Status::failed_precondition(text),
        AllocateError::Namespace { .. } | AllocateError::Refused(_) => Status::invalid_argument(text),
        AllocateError::Forbidden(_) => Status::internal(text),
        AllocateError::NotLeader { .. }
        | AllocateError::NotSynced
        | AllocateError::Unavailable(_)
        | AllocateError::Stopping => Status::unavailable(text),
    }
}
