//! Events: written in the transaction that makes them true, and read and removed by whoever relays them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::{Store, StoreError};
use crate::args;
use crate::core::event::{Event, EventType, NewEvent};
use crate::db::{Domain, FromRow, List, Row, Tx};

/// Most events that a backlog counts: beyond, counting is only work for the database.
pub const BACKLOG_MAX: u64 = 100_000;
/// What stands for all types where a relay wants them.
pub(super) const ALL: &str = "*";

/// One row for each that wants the event, in the order in which they are told.
const TELL: &str = "\
    INSERT INTO events (sink, event_id, type, version, subject, data, at_ms)
    SELECT sink, id, given.type, given.version, subject, data, at
    FROM ROWS(place int $1, id text $2, type text $3, version int $4, subject text $5, data text $6, at int $7)
    JOIN event_wants ON event_wants.type = given.type OR event_wants.type = $8
    ORDER BY place";

/// Which events a sink wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wants {
    /// All, those of newer programs included.
    All,
    /// Those of these types.
    These(BTreeSet<EventType>),
}

/// How far a sink is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBacklog {
    /// Which.
    pub sink: String,
    /// Events that it has acknowledged, ever.
    pub taken: u64,
    /// Events that wait for it, counted up to [`BACKLOG_MAX`].
    pub pending: u64,
    /// Unix milliseconds of the first of these.
    pub oldest_at_ms: Option<u64>,
}

impl FromRow for EventBacklog {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { sink: row.get(0)?, taken: row.get(1)?, pending: row.get(2)?, oldest_at_ms: row.get(3)? })
    }
}

/// Its columns are those of [`Store::pending_events`].
impl FromRow for Event {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            sequence: row.get(0)?,
            id: row.get(1)?,
            type_name: row.get(2)?,
            version: row.get(3)?,
            subject: row.get(4)?,
            data: row.get(5)?,
            at_ms: row.get(6)?,
        })
    }
}

/// Tells of what has happened, within its transaction. Costs nothing while nobody listens.
pub(crate) async fn tell(tx: &mut Tx, facts: impl FnOnce() -> Vec<NewEvent>) -> Result<(), StoreError> {
    if !tx.has_listeners() {
        return Ok(());
    }
    let facts = facts();
    if facts.is_empty() {
        return Ok(());
    }
    let places: Vec<u64> = (0..facts.len() as u64).collect();
    let ids: Vec<&str> = facts.iter().map(|fact| fact.id.as_str()).collect();
    let types: Vec<&str> = facts.iter().map(|fact| fact.event_type.name()).collect();
    let versions: Vec<u32> = facts.iter().map(|fact| fact.event_type.version()).collect();
    let subjects: Vec<&str> = facts.iter().map(|fact| fact.subject.as_str()).collect();
    let data: Vec<&str> = facts.iter().map(|fact| fact.data.as_str()).collect();
    let times: Vec<u64> = facts.iter().map(|fact| fact.at_ms).collect();
    let args = args![
        List(&places),
        List(&ids),
        List(&types),
        List(&versions),
        List(&subjects),
        List(&data),
        List(&times),
        ALL
    ];
    tx.execute(TELL, args).await.map(drop)
}

impl Store {
    /// Names those that take events from now on, and which. Others are told nothing new and keep what waits for them, in case they
    /// come back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_event_sinks(&self, sinks: Vec<(String, Wants)>) -> Result<(), StoreError> {
        self.db.write(Domain::Events, sinks, |tx, sinks| Box::pin(set_sinks(tx, sinks))).await?;
        self.look_for_listeners().await
    }

    /// Asks whether anybody takes events, which another instance may have changed.
    ///
    /// # Errors
    /// [`StoreError`]; events are written as before.
    pub async fn look_for_listeners(&self) -> Result<(), StoreError> {
        let sql = "SELECT count(*) FROM event_wants";
        let wants: u64 = self.db.one(Domain::Events, sql, args![]).await?;
        self.db.listeners().store(wants > 0, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a sink until `until_ms`, or keeps it: of several instances one relays at a time. Whether this one does.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hold_event_sink(
        &self,
        sink: &str,
        holder: &str,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE event_relays SET holder = $1, held_until_ms = $2
                   WHERE sink = $3 AND (holder = $1 OR held_until_ms <= $4)";
        let args = args![holder, until_ms, sink, now_ms];
        Ok(self.db.statement(Domain::Events, sql, args).await? == 1)
    }

    /// Leaves a sink to another instance at once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leave_event_sink(&self, sink: &str, holder: &str) -> Result<(), StoreError> {
        let sql = "UPDATE event_relays SET held_until_ms = 0 WHERE sink = $1 AND holder = $2";
        self.db.statement(Domain::Events, sql, args![sink, holder]).await.map(drop)
    }

    /// What a sink is to be told, in order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pending_events(&self, sink: &str, limit: u32) -> Result<Vec<Event>, StoreError> {
        let sql = "SELECT sequence, event_id, type, version, subject, data, at_ms FROM events
                   WHERE sink = $1 ORDER BY sequence LIMIT $2";
        self.db.all(Domain::Events, sql, args![sink, limit]).await
    }

    /// A sink has these.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle_events(&self, sink: &str, sequences: Vec<u64>) -> Result<(), StoreError> {
        let input = (sink.to_owned(), sequences);
        self.db
            .write(Domain::Events, input, |tx, (sink, sequences)| {
                Box::pin(async move {
                    let sql = "DELETE FROM events WHERE sink = $1 AND sequence IN ints($2)";
                    let taken = tx.execute(sql, args![sink, List(sequences)]).await?;
                    let sql = "UPDATE event_relays SET taken = taken + $1 WHERE sink = $2";
                    tx.execute(sql, args![taken, sink]).await.map(drop)
                })
            })
            .await
    }

    /// How far every sink is behind that was ever named.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn event_backlogs(&self) -> Result<Vec<EventBacklog>, StoreError> {
        let sql = "SELECT sink, taken,
                   (SELECT count(*) FROM (SELECT 1 FROM events WHERE events.sink = event_relays.sink LIMIT $1) AS waiting),
                   (SELECT at_ms FROM events WHERE events.sink = event_relays.sink ORDER BY sequence LIMIT 1)
                   FROM event_relays ORDER BY sink";
        self.db.all(Domain::Events, sql, args![BACKLOG_MAX]).await
    }
}

async fn set_sinks(tx: &mut Tx, sinks: &[(String, Wants)]) -> Result<(), StoreError> {
    tx.execute("DELETE FROM event_wants", args![]).await?;
    for (sink, wants) in sinks {
        tx.execute("INSERT INTO event_relays (sink) VALUES ($1) ON CONFLICT (sink) DO NOTHING", args![sink]).await?;
        let types: Vec<&str> = match wants {
            Wants::All => vec![ALL],
            Wants::These(types) => types.iter().map(|one| one.name()).collect(),
        };
        for one in types {
            tx.execute("INSERT INTO event_wants (sink, type) VALUES ($1, $2)", args![sink, one]).await?;
        }
    }
    Ok(())
}
