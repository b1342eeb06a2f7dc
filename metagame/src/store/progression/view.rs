//! What a player sees of its progress.

use std::collections::BTreeSet;

use protocol::id::PlayerId;

use super::claims::has_pass;
use super::record::standings;
use crate::args;
use crate::core::progression::Standing;
use crate::db::{Domain, FromRow, Row, StoreError, Tx};
use crate::store::Store;

/// Something that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountRow {
    /// Which of its sort.
    pub id: String,
    /// Number of the day or week; 0 where it lasts.
    pub period: u64,
    /// How much.
    pub count: u64,
    /// Unix milliseconds since which the goal is reached.
    pub reached_at_ms: Option<u64>,
}

impl FromRow for CountRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let subject: String = row.get(0)?;
        let id = subject.split_once(':').map_or(subject.as_str(), |(_, id)| id).to_owned();
        Ok(Self { id, period: row.get(1)?, count: row.get(2)?, reached_at_ms: row.get(3)? })
    }
}

/// What was counted of one sort, and what was fetched of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reached {
    /// Rows that are not over, by id and period.
    pub counts: Vec<CountRow>,
    /// Names of claims.
    pub claims: BTreeSet<String>,
    /// Whether the player has the pass that was asked for.
    pub has_pass: bool,
}

/// Rows of one sort: their subjects begin with `$2` and are before `$3`.
const COUNTS: &str = "\
    SELECT subject, period, count, reached_at_ms FROM progress_counts
    WHERE player_id = $1 AND subject >= $2 AND subject < $3 ORDER BY subject, period LIMIT 5000";
const CLAIMS: &str = "\
    SELECT claim FROM claims WHERE player_id = $1 AND claim >= $2 AND claim < $3 ORDER BY claim LIMIT 5000";

impl Store {
    /// Where a player stands, as it is written; `None` without an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn standing(&self, player: PlayerId) -> Result<Option<Standing>, StoreError> {
        self.database()
            .read(Domain::Players, player, |tx, player| {
                Box::pin(async move { Ok(standings(tx, &[*player]).await?.first().map(|(_, one)| *one)) })
            })
            .await
    }

    /// What a player has reached of one sort (`season`, `challenge`, `achievement`, `stat`) and fetched of another (`level`,
    /// `tier`, …), and whether it has a pass.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reached(
        &self,
        player: PlayerId,
        counted: &'static str,
        claimed: &'static str,
        pass: Option<String>,
        now_ms: u64,
    ) -> Result<Reached, StoreError> {
        let input = (player, counted, claimed, pass, now_ms);
        self.database()
            .read(Domain::Players, input, |tx, (player, counted, claimed, pass, now_ms)| {
                Box::pin(reached(tx, *player, counted, claimed, pass.as_deref(), *now_ms))
            })
            .await
    }

    /// The nodes that a player has unlocked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unlocked(&self, player: PlayerId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT node FROM unlocks WHERE player_id = $1 ORDER BY node";
        self.database().all(Domain::Players, sql, args![player]).await
    }
}

async fn reached(
    tx: &mut Tx,
    player: PlayerId,
    counted: &str,
    claimed: &str,
    pass: Option<&str>,
    now_ms: u64,
) -> Result<Reached, StoreError> {
    let (from, until) = sort(counted);
    let counts = tx.all(COUNTS, args![player, from, until]).await?;
    let (from, until) = sort(claimed);
    let claims: Vec<String> = tx.all(CLAIMS, args![player, from, until]).await?;
    let has_pass = match pass {
        Some(pass) => has_pass(tx, player, pass, now_ms).await?,
        None => false,
    };
    Ok(Reached { counts, claims: claims.into_iter().collect(), has_pass })
}

/// Where names of a sort begin and end: `;` is what comes after `:`.
fn sort(name: &str) -> (String, String) {
    (format!("{name}:"), format!("{name};"))
}
