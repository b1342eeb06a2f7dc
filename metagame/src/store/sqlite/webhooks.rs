//! Deliveries to webhooks: what is due, what became of it, what is left.

use sqlx::{Sqlite, Transaction};

use super::{SqliteStore, game, int, small, unsigned};
use crate::store::{Backlog, DeadLetter, Delivery, DueDeliveries, Settled, Settlement, StoreError, Subscription};

type Tx = Transaction<'static, Sqlite>;

pub(super) async fn set_subscriptions(store: &SqliteStore, subscriptions: Vec<Subscription>) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    sqlx::query("UPDATE webhook_endpoints SET active = 0").execute(&mut *tx).await?;
    sqlx::query("DELETE FROM webhook_filters").execute(&mut *tx).await?;
    for one in subscriptions {
        sqlx::query(
            "INSERT INTO webhook_endpoints (name, active) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET active = 1",
        )
        .bind(&one.endpoint)
        .execute(&mut *tx)
        .await?;
        for kind in one.kinds {
            sqlx::query("INSERT INTO webhook_filters (endpoint, kind) VALUES (?, ?)")
                .bind(&one.endpoint)
                .bind(kind.name())
                .execute(&mut *tx)
                .await?;
        }
    }
    Ok(tx.commit().await?)
}

pub(super) async fn due_deliveries(
    store: &SqliteStore,
    endpoint: String,
    now_ms: u64,
    limit: u32,
) -> Result<DueDeliveries, StoreError> {
    let mut tx = store.readers.begin().await?;
    // A later event of a match waits until the earlier one is delivered or given up.
    let rows: Vec<(i64, String, String, i64, i64)> = sqlx::query_as(
        "SELECT own.sequence, event_id, body, attempts, since_ms
         FROM webhook_deliveries AS own JOIN outbox ON outbox.sequence = own.sequence
         WHERE endpoint = ?1 AND state = 'pending' AND next_at_ms <= ?2 AND NOT EXISTS (
             SELECT 1 FROM webhook_deliveries AS earlier WHERE earlier.endpoint = ?1
             AND earlier.match_id = own.match_id AND earlier.sequence < own.sequence AND earlier.state = 'pending')
         ORDER BY next_at_ms, own.sequence LIMIT ?3",
    )
    .bind(&endpoint)
    .bind(int(now_ms))
    .bind(i64::from(limit))
    .fetch_all(&mut *tx)
    .await?;
    let next_at: Option<i64> = sqlx::query_scalar(
        "SELECT min(next_at_ms) FROM webhook_deliveries WHERE endpoint = ? AND state = 'pending' AND next_at_ms > ?",
    )
    .bind(&endpoint)
    .bind(int(now_ms))
    .fetch_one(&mut *tx)
    .await?;
    let delivery = |(sequence, event_id, body, attempts, since)| Delivery {
        sequence: unsigned(sequence),
        event_id,
        body,
        attempts: small(attempts),
        since_ms: unsigned(since),
    };
    Ok(DueDeliveries { due: rows.into_iter().map(delivery).collect(), next_at_ms: next_at.map(unsigned) })
}

pub(super) async fn settle_deliveries(
    store: &SqliteStore,
    endpoint: String,
    settled: Vec<Settled>,
) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    let (mut delivered, mut failures) = (0_i64, 0_i64);
    for one in &settled {
        match &one.outcome {
            Settlement::Delivered => {
                delivered += 1;
                sqlx::query("DELETE FROM webhook_deliveries WHERE endpoint = ? AND sequence = ?")
                    .bind(&endpoint)
                    .bind(int(one.sequence))
                    .execute(&mut *tx)
                    .await?;
            }
            Settlement::Again { at_ms, reason } => {
                failures += 1;
                fail(&mut tx, &endpoint, one.sequence, "pending", Some(*at_ms), reason).await?;
            }
            Settlement::Dead { reason } => {
                failures += 1;
                fail(&mut tx, &endpoint, one.sequence, "dead", None, reason).await?;
            }
        }
    }
    sqlx::query("UPDATE webhook_endpoints SET delivered = delivered + ?, failures = failures + ? WHERE name = ?")
        .bind(delivered)
        .bind(failures)
        .bind(&endpoint)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

async fn fail(
    tx: &mut Tx,
    endpoint: &str,
    sequence: u64,
    state: &str,
    next_at_ms: Option<u64>,
    reason: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhook_deliveries SET state = ?, attempts = attempts + 1, next_at_ms = coalesce(?, next_at_ms), reason = ?
         WHERE endpoint = ? AND sequence = ?",
    )
    .bind(state)
    .bind(next_at_ms.map(int))
    .bind(reason)
    .bind(endpoint)
    .bind(int(sequence))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn hasten_deliveries(store: &SqliteStore, endpoint: String, now_ms: u64) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhook_deliveries SET next_at_ms = ?1 WHERE endpoint = ?2 AND state = 'pending' AND next_at_ms > ?1",
    )
    .bind(int(now_ms))
    .bind(endpoint)
    .execute(&store.writer)
    .await?;
    Ok(())
}

pub(super) async fn resend(
    store: &SqliteStore,
    endpoint: String,
    event_id: Option<String>,
    now_ms: u64,
) -> Result<Option<u64>, StoreError> {
    let mut tx = store.write().await?;
    let active: Option<i64> = sqlx::query_scalar("SELECT 1 FROM webhook_endpoints WHERE name = ? AND active = 1")
        .bind(&endpoint)
        .fetch_optional(&mut *tx)
        .await?;
    if active.is_none() {
        return Ok(None);
    }
    let done = match event_id {
        None => sqlx::query(
            "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, since_ms = ?1, next_at_ms = ?1
             WHERE endpoint = ?2 AND state = 'dead'",
        )
        .bind(int(now_ms))
        .bind(&endpoint),
        // Any event that is still kept, delivered or not.
        Some(event_id) => sqlx::query(
            "INSERT INTO webhook_deliveries (endpoint, sequence, match_id, state, attempts, since_ms, next_at_ms, reason)
             SELECT ?2, sequence, match_id, 'pending', 0, ?1, ?1, '' FROM outbox WHERE event_id = ?3
             ON CONFLICT (endpoint, sequence) DO UPDATE
             SET state = 'pending', attempts = 0, since_ms = excluded.since_ms, next_at_ms = excluded.next_at_ms",
        )
        .bind(int(now_ms))
        .bind(&endpoint)
        .bind(event_id),
    };
    let count = done.execute(&mut *tx).await?.rows_affected();
    tx.commit().await?;
    Ok(Some(count))
}

pub(super) async fn backlogs(store: &SqliteStore) -> Result<Vec<Backlog>, StoreError> {
    let rows: Vec<(String, i64, i64, i64, Option<i64>, i64)> = sqlx::query_as(
        "SELECT name, delivered, failures,
         (SELECT count(*) FROM webhook_deliveries WHERE endpoint = name AND state = 'pending'),
         (SELECT min(since_ms) FROM webhook_deliveries WHERE endpoint = name AND state = 'pending'),
         (SELECT count(*) FROM webhook_deliveries WHERE endpoint = name AND state = 'dead')
         FROM webhook_endpoints ORDER BY name",
    )
    .fetch_all(&store.readers)
    .await?;
    let backlog = |(endpoint, delivered, failures, pending, oldest, dead): (_, _, _, _, Option<i64>, _)| Backlog {
        endpoint,
        delivered: unsigned(delivered),
        failures: unsigned(failures),
        pending: unsigned(pending),
        oldest_pending_at_ms: oldest.map(unsigned),
        dead: unsigned(dead),
    };
    Ok(rows.into_iter().map(backlog).collect())
}

/// Endpoint, event id, kind, match, at, attempts, reason.
type DeadRow = (String, String, String, Vec<u8>, i64, i64, String);

pub(super) async fn dead_letters(store: &SqliteStore, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
    let rows: Vec<DeadRow> = sqlx::query_as(
        "SELECT endpoint, event_id, kind, outbox.match_id, at_ms, attempts, reason
         FROM webhook_deliveries JOIN outbox ON outbox.sequence = webhook_deliveries.sequence
         WHERE state = 'dead' ORDER BY endpoint, webhook_deliveries.sequence LIMIT ?",
    )
    .bind(i64::from(limit))
    .fetch_all(&store.readers)
    .await?;
    let letter = |(endpoint, event_id, kind, match_id, at, attempts, reason): DeadRow| {
        let (match_id, attempts) = (game(&match_id)?, small(attempts));
        Ok(DeadLetter { endpoint, event_id, kind, match_id, at_ms: unsigned(at), attempts, reason })
    };
    rows.into_iter().map(letter).collect()
}
