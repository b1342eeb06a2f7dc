//! Writes reports in groups, as soon as the database takes them, and drops days that are over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::id::PlayerId;
use serde_json::Value;
use service::Shutdown;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::intake::{Batch, Room};
use crate::core::telemetry::day::{day_of, name};
use crate::core::telemetry::plan::Plan;
use crate::core::telemetry::report::Report;
use crate::metrics;
use crate::store::telemetry::{PURPOSE, TelemetryLog, TelemetryRow, TelemetryWriter};
use crate::store::{Store, StoreError};
use crate::vault::{AccountKey, Vault};

/// Reports of one group, about: the last batch may go beyond.
const GROUP_MAX: usize = 500;
/// How long a group is gathered: one commit for all who report meanwhile.
const GATHER: Duration = Duration::from_millis(250);
/// Pause after the database refused a group.
const PAUSE: Duration = Duration::from_millis(500);
/// Tries of a group that the database does not take although it is there.
const TRIES_MAX: u32 = 3;
/// For what waits at shutdown.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often days that are over are dropped.
const DROP_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often it is looked how much room the day takes.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

type Keys = BTreeMap<PlayerId, AccountKey>;

/// The task that writes.
pub(super) struct Writer {
    plan: Arc<Plan>,
    log: TelemetryLog,
    rows: TelemetryWriter,
    store: Store,
    vault: Arc<Vault>,
    room: Room,
    /// The day whose room is used up.
    full: Option<u64>,
    measured_at: Option<Instant>,
    dropped_at: Option<Instant>,
}

impl Writer {
    pub(super) fn new(plan: Arc<Plan>, log: TelemetryLog, store: Store, vault: Arc<Vault>, room: Room) -> Self {
        let rows = log.writer();
        Self { plan, log, rows, store, vault, room, full: None, measured_at: None, dropped_at: None }
    }

    pub(super) async fn run(mut self, mut batches: mpsc::Receiver<Batch>, shutdown: Shutdown) {
        loop {
            self.drop_days().await;
            let first = tokio::select! {
                first = batches.recv() => first,
                () = tokio::time::sleep(DROP_EVERY) => continue,
                () = shutdown.wait(), if !batches.is_closed() => {
                    batches.close();
                    continue;
                }
            };
            let Some(first) = first else { break };
            let group = gather(first, &mut batches, &shutdown).await;
            self.write(&group, &shutdown).await;
            drop(group);
            self.room.tell();
        }
        self.rows.close().await;
    }

    async fn write(&mut self, group: &[Batch], shutdown: &Shutdown) {
        let mut by_day = BTreeMap::<u64, Vec<&Report>>::new();
        for report in group.iter().flat_map(|batch| &batch.reports) {
            by_day.entry(day_of(report.received_at_ms)).or_default().push(report);
        }
        for (day, reports) in by_day {
            self.write_day(day, &reports, shutdown).await;
        }
    }

    /// Writes reports of a day; returns once they are kept, or lost.
    async fn write_day(&mut self, day: u64, reports: &[&Report], shutdown: &Shutdown) {
        let (mut tries, mut until) = (0, None);
        loop {
            let error = match self.try_write(day, reports).await {
                Ok(()) => return,
                Err(error) => error,
            };
            // Whoever is there and refuses will refuse again.
            let is_away = matches!(error, StoreError::Busy | StoreError::Unavailable(_) | StoreError::Unknown);
            tries += u32::from(!is_away);
            if shutdown.is_triggered() {
                until.get_or_insert_with(|| Instant::now() + FAREWELL);
            }
            if tries >= TRIES_MAX || until.is_some_and(|until| Instant::now() >= until) {
                tracing::warn!(%error, count = reports.len(), "reports of the game are lost");
                return metrics::telemetry(if is_away { "at_end" } else { "failed" }, reports.len());
            }
            tracing::debug!(%error, count = reports.len(), "reports of the game wait for the database");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_write(&mut self, day: u64, reports: &[&Report]) -> Result<(), StoreError> {
        if self.is_full(day).await? {
            metrics::telemetry("day_full", reports.len());
            return Ok(());
        }
        let named =
            reports.iter().flat_map(|report| report.players.iter().map(|(_, player)| *player).chain(report.player));
        let players: Vec<PlayerId> = named.collect::<BTreeSet<_>>().into_iter().collect();
        // Asked for each group anew: whoever is erased has no key from then on, and nothing of it is kept.
        let keys = self.store.account_keys(&self.vault, &players, service::clock::unix_ms()).await?;
        let rows: Vec<TelemetryRow> = reports.iter().filter_map(|report| row(day, report, &keys)).collect();
        if !rows.is_empty() {
            self.rows.keep(day, &rows).await?;
        }
        metrics::telemetry("kept", rows.len());
        metrics::telemetry("nobody", reports.len() - rows.len());
        Ok(())
    }

    /// Whether the day's room is used up. It is looked now and then; the day may go a bit beyond.
    async fn is_full(&mut self, day: u64) -> Result<bool, StoreError> {
        if self.measured_at.is_some_and(|at| at.elapsed() < MEASURE_EVERY) {
            return Ok(self.full == Some(day));
        }
        let (bytes, most) = (self.log.bytes_of(day).await?, self.plan.day_bytes_max);
        self.measured_at = Some(Instant::now());
        let was_full = self.full;
        self.full = (bytes >= most).then_some(day);
        if self.full.is_some() && self.full != was_full {
            let day = name(day);
            tracing::warn!(day, bytes, most, "the day's room for reports is used up: the rest of it is lost");
        }
        Ok(self.full == Some(day))
    }

    async fn drop_days(&mut self) {
        if self.dropped_at.is_some_and(|at| at.elapsed() < DROP_EVERY) {
            return;
        }
        self.dropped_at = Some(Instant::now());
        let oldest = day_of(service::clock::unix_ms()).saturating_sub(self.plan.days);
        match self.log.drop_before(oldest).await {
            Ok(0) => {}
            Ok(days) => tracing::info!(days, "days of reports are over and dropped"),
            Err(error) => tracing::warn!(%error, "cannot drop days of reports that are over; trying again in an hour"),
        }
    }
}

/// What comes within a moment of the first, up to a group.
async fn gather(first: Batch, batches: &mut mpsc::Receiver<Batch>, shutdown: &Shutdown) -> Vec<Batch> {
    let until = Instant::now() + if shutdown.is_triggered() { Duration::ZERO } else { GATHER };
    let mut count = first.reports.len();
    let mut group = vec![first];
    while count < GROUP_MAX
        && let Ok(Some(next)) = timeout_at(until, batches.recv()).await
    {
        count += next.reports.len();
        group.push(next);
    }
    group
}

/// A report as it is kept. `None`: it is about somebody who does not exist, or was erased.
fn row(day: u64, report: &Report, keys: &Keys) -> Option<TelemetryRow> {
    let key = match report.player {
        None => None,
        Some(player) => Some(keys.get(&player)?),
    };
    let mut body = report.open.clone();
    for (field, player) in &report.players {
        let pseudonym = keys.get(player).map(|key| Uuid::from_bytes(key.pseudonym(PURPOSE)).to_string());
        body.insert(field.clone(), pseudonym.map_or(Value::Null, Value::String));
    }
    let sealed = key.filter(|_| !report.sealed.is_empty()).map(|key| {
        let text = Value::Object(report.sealed.clone()).to_string();
        key.seal(PURPOSE, text.as_bytes())
    });
    Some(TelemetryRow {
        day,
        event_id: report.event_id,
        name: report.name.clone(),
        version: report.version,
        at_ms: report.at_ms,
        received_at_ms: report.received_at_ms,
        pseudonym: key.map(|key| key.pseudonym(PURPOSE).to_vec()).unwrap_or_default(),
        source: report.source.name().to_owned(),
        body: Value::Object(body).to_string(),
        sealed: sealed.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::core::telemetry::report::Source;

    fn player(n: u8) -> PlayerId {
        PlayerId::from_entropy([n; 16])
    }

    fn report(about: Option<PlayerId>, victim: PlayerId) -> Report {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        Report {
            event_id: [1; 16],
            name: "kill".into(),
            version: 1,
            at_ms: 5,
            received_at_ms: 6,
            source: Source::Server,
            player: about,
            open: map(json!({ "n": 1 })),
            sealed: about.map_or_else(Map::new, |_| map(json!({ "words": "gg Ada" }))),
            players: vec![("victim".into(), victim)],
            bytes: 0,
        }
    }

    #[test]
    fn a_row_names_players_by_pseudonyms_and_seals_texts() {
        let vault = Vault::new(&[1; 32]);
        let keys: Keys = [1, 2].map(|n| (player(n), vault.new_account_key(player(n)).0)).into();
        let kept = row(9, &report(Some(player(1)), player(2)), &keys).expect("a row");
        let (ada, bob) = (keys[&player(1)].pseudonym(PURPOSE), keys[&player(2)].pseudonym(PURPOSE));
        assert_eq!(kept.pseudonym, ada);
        assert_eq!(
            serde_json::from_str::<Value>(&kept.body).expect("JSON"),
            json!({ "n": 1, "victim": Uuid::from_bytes(bob) })
        );
        let opened = keys[&player(1)].open(PURPOSE, &kept.sealed).expect("opens");
        assert_eq!(opened.as_slice(), b"{\"words\":\"gg Ada\"}");
    }

    #[test]
    fn nothing_is_kept_of_whoever_has_no_key() {
        let vault = Vault::new(&[1; 32]);
        let keys: Keys = [(player(1), vault.new_account_key(player(1)).0)].into();
        assert_eq!(row(9, &report(Some(player(3)), player(1)), &keys), None);
        let kept = row(9, &report(Some(player(1)), player(3)), &keys).expect("a row");
        assert_eq!(serde_json::from_str::<Value>(&kept.body).expect("JSON"), json!({ "n": 1, "victim": null }));
        let kept = row(9, &report(None, player(1)), &keys).expect("a row");
        assert!(kept.pseudonym.is_empty() && kept.sealed.is_empty());
    }
}
