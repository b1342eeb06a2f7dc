//! Values per player: one round trip for a read, and one transaction for all writes that wait at the same time.

use std::collections::BTreeSet;

use protocol::id::PlayerId;

use super::{Store, StoreError};
use crate::args;
use crate::core::kv::{Held, Kept, Moment, Outcome, Place, Request, Usage, decide};
use crate::db::{Database, Domain, FromRow, Lanes, List, Row, Sql, Tx};

/// A value of a list, without the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedValue {
    /// Its key.
    pub key: String,
    /// Its version.
    pub version: u64,
    /// Its length.
    pub bytes: u64,
    /// Unix milliseconds.
    pub updated_at_ms: u64,
}

impl FromRow for Kept {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { value: row.get(0)?, version: row.get(1)?, updated_at_ms: row.get(2)? })
    }
}

const VALUE: &str = "\
    SELECT value, version, updated_at_ms FROM kv WHERE player_id = $1 AND collection = $2 AND key = $3";

/// On PostgreSQL each place is looked up by itself: a join is free to read the whole table, and then every writer meets every other.
const VALUES: Sql = Sql::by_engine(
    "SELECT n, value, version, updated_at_ms
     FROM ROWS(n int $1, player blob $2, wanted text $3, wanted_key text $4)
     JOIN kv ON player_id = player AND collection = wanted AND kv.key = wanted_key ORDER BY n",
    "SELECT n, value, version, updated_at_ms
     FROM ROWS(n int $1, player blob $2, wanted text $3, wanted_key text $4)
     CROSS JOIN LATERAL (SELECT value, version, updated_at_ms FROM kv
                         WHERE player_id = player AND collection = wanted AND key = wanted_key LIMIT 1) AS found
     ORDER BY n",
);

const LIST: &str = "\
    SELECT key, version, bytes, updated_at_ms FROM kv
    WHERE player_id = $1 AND collection = $2 AND key > $3 ORDER BY key LIMIT $4";

/// What stands at some places, with the accounts and what they use. Without an account there is no row.
const MOMENT: Sql = Sql::by_engine(
    "SELECT n, coalesce(kv_usage.bytes, 0), coalesce(kv_usage.count, 0), kv.version, mark, kv.bytes, counted
     FROM ROWS(n int $1, player blob $2, wanted text $3, wanted_key text $4)
     JOIN accounts ON accounts.player_id = player
     LEFT JOIN kv_usage ON kv_usage.player_id = player
     LEFT JOIN kv ON kv.player_id = player AND collection = wanted AND kv.key = wanted_key",
    "SELECT n, coalesce(used.bytes, 0), coalesce(used.count, 0), version, mark, held.bytes, counted
     FROM ROWS(n int $1, player blob $2, wanted text $3, wanted_key text $4)
     CROSS JOIN LATERAL (SELECT player_id FROM accounts WHERE player_id = player LIMIT 1) AS account
     LEFT JOIN LATERAL (SELECT bytes, count FROM kv_usage WHERE player_id = player LIMIT 1) AS used ON true
     LEFT JOIN LATERAL (SELECT version, mark, bytes, counted FROM kv
                        WHERE player_id = player AND collection = wanted AND key = wanted_key LIMIT 1) AS held
     ON true",
);

type MomentRow = (u64, u64, u64, Option<u64>, Option<Vec<u8>>, Option<u64>, Option<bool>);

const PUT: &str = "\
    INSERT INTO kv (player_id, collection, key, value, bytes, version, mark, counted, updated_at_ms)
    SELECT player, wanted, wanted_key, content, length, version, mark, counted, $9
    FROM ROWS(player blob $1, wanted text $2, wanted_key text $3, content text $4, length int $5, version int $6,
              mark blob $7, counted int $8)
    WHERE true
    ON CONFLICT (player_id, collection, key) DO UPDATE SET value = excluded.value, bytes = excluded.bytes,
        version = excluded.version, mark = excluded.mark, counted = excluded.counted,
        updated_at_ms = excluded.updated_at_ms";

const DELETE: &str = "DELETE FROM kv WHERE player_id = $1 AND collection = $2 AND key = $3";

const USE: &str = "\
    INSERT INTO kv_usage (player_id, bytes, count)
    SELECT player, length, number FROM ROWS(player blob $1, length int $2, number int $3) WHERE true
    ON CONFLICT (player_id) DO UPDATE SET bytes = excluded.bytes, count = excluded.count";

impl Store {
    /// A value.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kv_value(&self, place: &Place) -> Result<Option<Kept>, StoreError> {
        if let Some(values) = &self.values {
            return values.submit(place.clone()).await;
        }
        let args = args![place.player, place.collection, place.key];
        self.db.optional(Domain::Players, VALUE, args).await
    }

    /// The values at these places, in their order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kv_values(&self, places: &[Place]) -> Result<Vec<Option<Kept>>, StoreError> {
        read_values(&self.db, places).await
    }

    /// Keys of a player's collection after this one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kv_list(
        &self,
        player: PlayerId,
        collection: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<ListedValue>, StoreError> {
        let rows: Vec<(String, u64, u64, u64)> =
            self.db.all(Domain::Players, LIST, args![player, collection, after, limit]).await?;
        let listed = |(key, version, bytes, updated_at_ms)| ListedValue { key, version, bytes, updated_at_ms };
        Ok(rows.into_iter().map(listed).collect())
    }

    /// What a player keeps, of what counts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kv_usage(&self, player: PlayerId) -> Result<Usage, StoreError> {
        let sql = "SELECT bytes, count FROM kv_usage WHERE player_id = $1";
        let row: Option<(u64, u64)> = self.db.optional(Domain::Players, sql, args![player]).await?;
        Ok(row.map(|(bytes, count)| Usage { bytes, count }).unwrap_or_default())
    }

    /// Writes what several requests ask for, each whole or not at all; an outcome for each. No place may be in two of them: which
    /// was first could not be told when this runs again after a commit that was cut off.
    ///
    /// # Errors
    /// [`StoreError`]: then none of them happened, unless it is [`StoreError::Unknown`].
    pub async fn kv_write(&self, requests: Vec<Request>, now_ms: u64) -> Result<Vec<Outcome>, StoreError> {
        let input = (requests, now_ms);
        self.db.write(Domain::Players, input, |tx, (requests, now_ms)| Box::pin(write(tx, requests, *now_ms))).await
    }
}

/// The groups in which values are read; nothing where the database is a file, which costs no round trip.
pub(super) type Values = Option<Lanes<Place, Option<Kept>>>;

pub(super) fn values(db: &Database) -> Values {
    db.lanes(Domain::Players, |db, places: Vec<Place>| Box::pin(async move { read_values(&db, &places).await }))
}

async fn read_values(db: &Database, places: &[Place]) -> Result<Vec<Option<Kept>>, StoreError> {
    let rows: Vec<(u64, String, u64, u64)> = db.all(Domain::Players, VALUES, places_args(places)).await?;
    let mut values = vec![None; places.len()];
    for (n, value, version, updated_at_ms) in rows {
        if let Some(slot) = usize::try_from(n).ok().and_then(|n| values.get_mut(n)) {
            *slot = Some(Kept { value, version, updated_at_ms });
        }
    }
    Ok(values)
}

async fn write(tx: &mut Tx, requests: &[Request], now_ms: u64) -> Result<Vec<Outcome>, StoreError> {
    let before = moment(tx, requests).await?;
    let mut after = before.clone();
    let outcomes = decide(requests, &mut after, now_ms);
    put(tx, requests, &before, &after, now_ms).await?;
    for place in before.held.keys().filter(|place| !after.held.contains_key(*place)) {
        tx.execute(DELETE, args![place.player, place.collection, place.key]).await?;
    }
    let used: Vec<_> = after.usage.iter().filter(|(player, usage)| before.usage.get(player) != Some(usage)).collect();
    if !used.is_empty() {
        let players: Vec<_> = used.iter().map(|(player, _)| **player).collect();
        let bytes: Vec<_> = used.iter().map(|(_, usage)| usage.bytes).collect();
        let counts: Vec<_> = used.iter().map(|(_, usage)| usage.count).collect();
        tx.execute(USE, args![List(&players), List(&bytes), List(&counts)]).await?;
    }
    Ok(outcomes)
}

/// What stands at all places that requests are about.
async fn moment(tx: &mut Tx, requests: &[Request]) -> Result<Moment, StoreError> {
    let changes = requests.iter().flat_map(|request| &request.changes);
    let places: Vec<Place> = changes.map(|change| change.place.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let rows: Vec<MomentRow> = tx.all(MOMENT, places_args(&places)).await?;
    let mut moment = Moment::default();
    for (n, used_bytes, count, version, mark, bytes, counted) in rows {
        let Some(place) = usize::try_from(n).ok().and_then(|n| places.get(n)) else { continue };
        moment.usage.insert(place.player, Usage { bytes: used_bytes, count });
        if let (Some(version), Some(mark), Some(bytes), Some(counted)) = (version, mark, bytes, counted) {
            let mark = mark.try_into().map_err(|_| StoreError::Unreadable("a mark of another length".into()))?;
            moment.held.insert(place.clone(), Held { version, mark, bytes, counted });
        }
    }
    Ok(moment)
}

/// Writes the values that have changed.
async fn put(
    tx: &mut Tx,
    requests: &[Request],
    before: &Moment,
    after: &Moment,
    now_ms: u64,
) -> Result<(), StoreError> {
    let mut rows = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut figures = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for change in requests.iter().flat_map(|request| &request.changes) {
        let (Some(value), Some(held)) = (&change.value, after.held.get(&change.place)) else { continue };
        if before.held.get(&change.place) == Some(held) {
            continue;
        }
        rows.0.push(change.place.player);
        rows.1.push(change.place.collection.as_str());
        rows.2.push(change.place.key.as_str());
        rows.3.push(value.as_str());
        figures.0.push(held.bytes);
        figures.1.push(held.version);
        figures.2.push(held.mark);
        figures.3.push(held.counted);
    }
    if rows.0.is_empty() {
        return Ok(());
    }
    let args = args![
        List(&rows.0),
        List(&rows.1),
        List(&rows.2),
        List(&rows.3),
        List(&figures.0),
        List(&figures.1),
        List(&figures.2),
        List(&figures.3),
        now_ms,
    ];
    tx.execute(PUT, args).await.map(drop)
}

fn places_args(places: &[Place]) -> crate::db::Args {
    let numbers: Vec<u64> = (0..places.len() as u64).collect();
    let players: Vec<_> = places.iter().map(|place| place.player).collect();
    let collections: Vec<_> = places.iter().map(|place| place.collection.as_str()).collect();
    let keys: Vec<_> = places.iter().map(|place| place.key.as_str()).collect();
    args![List(&numbers), List(&players), List(&collections), List(&keys)]
}
