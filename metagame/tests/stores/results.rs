//! Results of matches as stores take them: signed by a server, and verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use metagame::Progression;
use metagame::store::VerifiedResult;
use protocol::certificate::{CertificateClaims, MatchResult, Participation, PlayerResult};
use protocol::id::{MatchId, PlayerId};
use sha2::{Digest as _, Sha256};

/// One who played to the end.
pub(crate) fn played(player_id: PlayerId, team: u32, place: u32, stats: BTreeMap<String, i64>) -> PlayerResult {
    PlayerResult { player_id, team, place, score: 5, participation: Participation::Played, stats }
}

/// Each against all, in the order of their places.
pub(crate) fn in_order(players: &[PlayerId], stats: &BTreeMap<String, i64>) -> Vec<PlayerResult> {
    (0..).zip(players).map(|(place, player)| played(*player, place, place + 1, stats.clone())).collect()
}

/// What a server says of match `n`, which took 20 s.
pub(crate) fn of_match(n: u8, ended_at_ms: u64, players: Vec<PlayerResult>) -> MatchResult {
    MatchResult {
        match_id: MatchId::from_entropy([n; 16]),
        game: "arena".into(),
        started_at_ms: ended_at_ms - 20_000,
        ended_at_ms,
        ticks: 1_200,
        tick_rate_hz: 60,
        state_hash: "0".repeat(16),
        reason: "finished".into(),
        trace_id: "t".repeat(32),
        players,
    }
}

/// The same after its signature was checked, at `now_ms`.
pub(crate) fn verified(result: MatchResult, progression: &Arc<Progression>, now_ms: u64) -> VerifiedResult {
    let claims = CertificateClaims {
        iss: "muster-allocator".into(),
        mid: result.match_id,
        roster: String::new(),
        queue: "duel".into(),
        build: "1".into(),
        jkt: "thumbprint".into(),
        iat: 0,
        exp: u64::MAX,
    };
    let body = serde_json::to_string(&result).expect("plain data");
    let body_hash = Sha256::digest(&body).into();
    VerifiedResult { claims, result, body, body_hash, progression: Arc::clone(progression), now_ms }
}
