//! A scripted metagame: answers results with the given statuses, the last one for ever.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use protocol::certificate::SignedResult;
use protocol::id::MatchId;

#[derive(Clone)]
pub(crate) struct FakeMetagame {
    pub(crate) url: String,
    state: Arc<Mutex<Script>>,
}

struct Script {
    statuses: Vec<u16>,
    received: Vec<(MatchId, SignedResult)>,
}

impl FakeMetagame {
    pub(crate) async fn start(statuses: &[u16]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let state = Arc::new(Mutex::new(Script { statuses: statuses.to_vec(), received: Vec::new() }));
        let app = Router::new().route("/v1/matches/{id}/result", post(result)).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, state }
    }

    /// Everything that was posted so far.
    pub(crate) fn received(&self) -> Vec<(MatchId, SignedResult)> {
        self.state.lock().expect("no panic").received.clone()
    }

    /// The first result of a match, once it is there.
    pub(crate) async fn result(&self, id: MatchId) -> SignedResult {
        let find = || async { self.received().into_iter().find(|(of, _)| *of == id).map(|(_, signed)| signed) };
        testkit::wait::until("a result", find).await
    }
}

async fn result(
    State(state): State<Arc<Mutex<Script>>>,
    Path(id): Path<String>,
    Json(signed): Json<SignedResult>,
) -> StatusCode {
    let mut script = state.lock().expect("no panic");
    script.received.push((id.parse().expect("a match id"), signed));
    let status = if script.statuses.len() > 1 { script.statuses.remove(0) } else { script.statuses[0] };
    StatusCode::from_u16(status).expect("a status")
}
