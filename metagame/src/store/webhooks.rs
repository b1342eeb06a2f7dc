//! Deliveries to webhooks: what is due, what became of it, what is left.

use tokio::sync::watch;

use super::acts::note;
use super::outbox::insert_other;
use super::{
    Backlog, DeadLetter, Delivery, DueDeliveries, Order, Settled, Settlement, Store, StoreError, Subscription,
};
use crate::args;
use crate::core::event::Event;
use crate::db::{Domain, Engine, Sql, Tx};

/// A later event of a match waits until the earlier one is delivered or given up.
const DUE: &str = "\
    SELECT own.sequence, event_id, body, attempts, since_ms
    FROM webhook_deliveries AS own JOIN outbox ON outbox.sequence = own.sequence
    WHERE endpoint = $1 AND state = 'pending' AND next_at_ms <= $2 AND NOT EXISTS (
        SELECT 1 FROM webhook_deliveries AS earlier WHERE earlier.endpoint = $1
        AND earlier.match_id = own.match_id AND earlier.sequence < own.sequence AND earlier.state = 'pending')
    ORDER BY next_at_ms, own.sequence LIMIT $3";

/// By the database's own clock, which all instances share.
const HOLD: Sql = Sql::by_engine(
    "UPDATE webhook_endpoints SET holder = $1, held_until_ms = CAST(unixepoch('subsec') * 1000 AS INTEGER) + $2
     WHERE name = $3 AND (holder = $1 OR held_until_ms <= CAST(unixepoch('subsec') * 1000 AS INTEGER)) RETURNING revivals",
    "UPDATE webhook_endpoints SET holder = $1, held_until_ms = CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint) + $2
     WHERE name = $3 AND (holder = $1 OR held_until_ms <= CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint))
     RETURNING revivals",
);

impl Store {
    /// Names the endpoints that are told of events from now on. Others keep what they have not been told of, in case
    /// they come back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_subscriptions(&self, subscriptions: Vec<Subscription>) -> Result<(), StoreError> {
        self.db.write(Domain::Events, subscriptions, |tx, all| Box::pin(set_subscriptions(tx, all))).await
    }

    /// Changes when deliveries may have become due by what this process has written; what another has written is
    /// found by looking now and then.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// What an endpoint can be told now, at most `limit`. A later event of a match waits for the earlier ones.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due_deliveries(&self, endpoint: String, now_ms: u64, limit: u32) -> Result<DueDeliveries, StoreError> {
        let input = (endpoint, now_ms, limit);
        self.db
            .read(Domain::Events, input, |tx, (endpoint, now_ms, limit)| {
                Box::pin(due_deliveries(tx, endpoint, *now_ms, *limit))
            })
            .await
    }

    /// Names this instance as a holder of endpoints. With a SQLite file there is one at a time, so that a restart takes over
    /// at once.
    pub fn holder(&self) -> String {
        match self.db.engine() {
            Engine::Sqlite => "the only one".to_owned(),
            Engine::Postgres => hex::encode(service::random::bytes::<8>()),
        }
    }

    /// Takes an endpoint for `hold_ms` by the database's clock, or keeps it: of several instances one sends at a time, whatever their
    /// own clocks say. How often an operator has had something sent again, or `None` while another instance holds it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hold_endpoint(
        &self,
        endpoint: String,
        holder: String,
        hold_ms: u64,
    ) -> Result<Option<u64>, StoreError> {
        let args = args![holder, hold_ms, endpoint];
        let mut held: Vec<u64> = self.db.statement_returning(Domain::Events, HOLD, args).await?;
        Ok(held.pop())
    }

    /// Leaves an endpoint to another instance at once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leave_endpoint(&self, endpoint: String, holder: String) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_endpoints SET held_until_ms = 0 WHERE name = $1 AND holder = $2";
        self.db.statement(Domain::Events, sql, args![endpoint, holder]).await.map(drop)
    }

    /// Notes what became of tries, all together.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle_deliveries(&self, endpoint: String, settled: Vec<Settled>) -> Result<(), StoreError> {
        let input = (endpoint, settled);
        self.db
            .write_once(Domain::Events, input, |tx, (endpoint, settled)| Box::pin(settle(tx, endpoint, settled)))
            .await
    }

    /// Whatever an endpoint is still to be told of is due now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hasten_deliveries(&self, endpoint: String, now_ms: u64) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_deliveries SET next_at_ms = $1
                   WHERE endpoint = $2 AND state = 'pending' AND next_at_ms > $1";
        self.db.statement(Domain::Events, sql, args![now_ms, endpoint]).await.map(drop)
    }

    /// Has an endpoint told again: its dead letters, or this event, delivered or not. Says of how many events;
    /// `None` if the settings name no such endpoint.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn resend(
        &self,
        endpoint: String,
        event_id: Option<String>,
        order: Order,
    ) -> Result<Option<u64>, StoreError> {
        let input = (endpoint, event_id, order);
        self.db
            .write_once(Domain::Events, input, |tx, (endpoint, event_id, order)| {
                Box::pin(async move {
                    let count = resend(tx, endpoint, event_id.as_deref(), order.at_ms).await?;
                    if let Some(events) = count {
                        let detail = serde_json::json!({ "event_id": event_id, "events": events }).to_string();
                        note(tx, order, "resend", &format!("webhook:{endpoint}"), &detail).await?;
                    }
                    Ok(count)
                })
            })
            .await
    }

    /// Writes events that are of no match for the webhooks that name their types. Again it changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hand_to_webhooks(&self, events: Vec<Event>, now_ms: u64) -> Result<(), StoreError> {
        self.db
            .write(Domain::Events, (events, now_ms), |tx, (events, now_ms)| {
                Box::pin(async move {
                    for event in events {
                        insert_other(tx, event, *now_ms).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        self.news.send_replace(());
        Ok(())
    }

    /// Counts of every endpoint that was ever named.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backlogs(&self) -> Result<Vec<Backlog>, StoreError> {
        let sql = "SELECT name, delivered, failures,
                   (SELECT count(*) FROM webhook_deliveries WHERE endpoint = name AND state = 'pending'),
                   (SELECT min(since_ms) FROM webhook_deliveries WHERE endpoint = name AND state = 'pending'),
                   (SELECT count(*) FROM webhook_deliveries WHERE endpoint = name AND state = 'dead')
                   FROM webhook_endpoints ORDER BY name";
        let rows = self.db.all(Domain::Events, sql, args![]).await?;
        let backlog = |(endpoint, delivered, failures, pending, oldest_pending_at_ms, dead)| Backlog {
            endpoint,
            delivered,
            failures,
            pending,
            oldest_pending_at_ms,
            dead,
        };
        Ok(rows.into_iter().map(backlog).collect())
    }

    /// Dead letters, oldest first within each endpoint.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        let sql = "SELECT endpoint, event_id, kind, CASE WHEN subject = '' THEN outbox.match_id END, subject, at_ms, attempts, reason
                   FROM webhook_deliveries JOIN outbox ON outbox.sequence = webhook_deliveries.sequence
                   WHERE state = 'dead' ORDER BY endpoint, webhook_deliveries.sequence LIMIT $1";
        let rows = self.db.all(Domain::Events, sql, args![limit]).await?;
        let letter = |(endpoint, event_id, kind, match_id, subject, at_ms, attempts, reason)| DeadLetter {
            endpoint,
            event_id,
            kind,
            match_id,
            subject,
            at_ms,
            attempts,
            reason,
        };
        Ok(rows.into_iter().map(letter).collect())
    }
}

async fn set_subscriptions(tx: &mut Tx, subscriptions: &[Subscription]) -> Result<(), StoreError> {
    tx.execute("UPDATE webhook_endpoints SET active = 0", args![]).await?;
    tx.execute("DELETE FROM webhook_filters", args![]).await?;
    for one in subscriptions {
        let sql = "INSERT INTO webhook_endpoints (name, active) VALUES ($1, 1)
                   ON CONFLICT (name) DO UPDATE SET active = 1";
        tx.execute(sql, args![one.endpoint]).await?;
        for kind in one.kinds.iter().map(|kind| kind.name()).chain(one.others.iter().map(|other| other.name())) {
            let sql = "INSERT INTO webhook_filters (endpoint, kind) VALUES ($1, $2)";
            tx.execute(sql, args![one.endpoint, kind]).await?;
        }
    }
    Ok(())
}

async fn due_deliveries(tx: &mut Tx, endpoint: &str, now_ms: u64, limit: u32) -> Result<DueDeliveries, StoreError> {
    let rows = tx.all(DUE, args![endpoint, now_ms, limit]).await?;
    let delivery =
        |(sequence, event_id, body, attempts, since_ms)| Delivery { sequence, event_id, body, attempts, since_ms };
    let sql = "SELECT min(next_at_ms) FROM webhook_deliveries
               WHERE endpoint = $1 AND state = 'pending' AND next_at_ms > $2";
    let next_at_ms = tx.one(sql, args![endpoint, now_ms]).await?;
    Ok(DueDeliveries { due: rows.into_iter().map(delivery).collect(), next_at_ms })
}

async fn settle(tx: &mut Tx, endpoint: &str, settled: &[Settled]) -> Result<(), StoreError> {
    let (mut delivered, mut failures) = (0_u64, 0_u64);
    for one in settled {
        match &one.outcome {
            Settlement::Delivered => {
                let sql = "DELETE FROM webhook_deliveries WHERE endpoint = $1 AND sequence = $2";
                delivered += tx.execute(sql, args![endpoint, one.sequence]).await?;
            }
            Settlement::Again { at_ms, reason } => {
                failures += 1;
                fail(tx, endpoint, one.sequence, "pending", Some(*at_ms), reason).await?;
            }
            Settlement::Dead { reason } => {
                failures += 1;
                fail(tx, endpoint, one.sequence, "dead", None, reason).await?;
            }
        }
    }
    let sql = "UPDATE webhook_endpoints SET delivered = delivered + $1, failures = failures + $2 WHERE name = $3";
    tx.execute(sql, args![delivered, failures, endpoint]).await.map(drop)
}

async fn fail(
    tx: &mut Tx,
    endpoint: &str,
    sequence: u64,
    state: &str,
    next_at_ms: Option<u64>,
    reason: &str,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE webhook_deliveries
         SET state = $1, attempts = attempts + 1, next_at_ms = coalesce($2, next_at_ms), reason = $3
         WHERE endpoint = $4 AND sequence = $5",
        args![state, next_at_ms, reason, endpoint, sequence],
    )
    .await?;
    Ok(())
}

async fn resend(tx: &mut Tx, endpoint: &str, event_id: Option<&str>, now_ms: u64) -> Result<Option<u64>, StoreError> {
    let active: Option<u64> =
        tx.optional("SELECT active FROM webhook_endpoints WHERE name = $1 AND active = 1", args![endpoint]).await?;
    if active.is_none() {
        return Ok(None);
    }
    tx.execute("UPDATE webhook_endpoints SET revivals = revivals + 1 WHERE name = $1", args![endpoint]).await?;
    let count = match event_id {
        None => {
            tx.execute(
                "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, since_ms = $1, next_at_ms = $1
                 WHERE endpoint = $2 AND state = 'dead'",
                args![now_ms, endpoint],
            )
            .await?
        }
        // Any event that is still kept, delivered or not.
        Some(event_id) => {
            tx.execute(
                "INSERT INTO webhook_deliveries (endpoint, sequence, match_id, state, attempts, since_ms, next_at_ms, reason)
                 SELECT $2, sequence, match_id, 'pending', 0, $1, $1, '' FROM outbox WHERE event_id = $3
                 ON CONFLICT (endpoint, sequence) DO UPDATE
                 SET state = 'pending', attempts = 0, since_ms = excluded.since_ms, next_at_ms = excluded.next_at_ms",
                args![now_ms, endpoint, event_id],
            )
            .await?
        }
    };
    Ok(Some(count))
}
