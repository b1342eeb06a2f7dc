//! The log of reports on both engines: days, pages, what comes twice, what is over, and two instances at once.

mod stores;

use metagame::store::Store;
use metagame::store::telemetry::{TelemetryLog, TelemetryRow};
use stores::{Keep, stores};

/// 2026-11-22.
const DAY: u64 = 20_779;

fn row(day: u64, n: u8, whose: u8) -> TelemetryRow {
    TelemetryRow {
        day,
        event_id: [n; 16],
        name: format!("n{n}"),
        version: 1,
        at_ms: day * 86_400_000,
        received_at_ms: day * 86_400_000 + 1,
        pseudonym: vec![whose; 16],
        source: "client".into(),
        body: "{\"it's\":1}".into(),
        sealed: vec![0, 255, n],
    }
}

fn log(store: &Store, keep: &Keep) -> TelemetryLog {
    TelemetryLog::of(&keep.location(), store.database())
}

/// All reports about somebody, two at a time.
async fn all(log: &TelemetryLog, whose: u8) -> Vec<TelemetryRow> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = log.page([whose; 16], after, 2).await.expect("a page");
        let Some(last) = page.last() else { return rows };
        after = Some((last.day, last.event_id));
        rows.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_read_page_by_page_over_days_and_are_as_they_were_written() {
    for (store, keep) in stores().await {
        let log = log(&store, &keep);
        assert!(all(&log, 1).await.is_empty(), "before the first there is nothing");
        let mut writer = log.writer();
        let mut written = Vec::new();
        for day in [DAY, DAY + 1, DAY + 3] {
            let rows: Vec<TelemetryRow> = (1..=5).map(|n| row(day, n, 1)).collect();
            writer.keep(day, &rows).await.expect("kept");
            writer.keep(day, &[row(day, 1, 2)]).await.expect("kept");
            written.extend(rows);
        }
        writer.close().await;
        assert_eq!(all(&log, 1).await, written);
        assert_eq!(all(&log, 2).await.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_twice_on_a_day_is_kept_once_and_the_first_stays() {
    for (store, keep) in stores().await {
        let log = log(&store, &keep);
        let mut writer = log.writer();
        let changed = TelemetryRow { name: "changed".into(), ..row(DAY, 1, 1) };
        for rows in [vec![row(DAY, 1, 1), row(DAY, 1, 1)], vec![changed, row(DAY, 2, 1)]] {
            writer.keep(DAY, &rows).await.expect("kept");
        }
        writer.close().await;
        let names: Vec<String> = all(&log, 1).await.into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["n1", "n2"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_are_over_go_whole_and_a_day_can_come_again() {
    for (store, keep) in stores().await {
        let log = log(&store, &keep);
        let mut writer = log.writer();
        for day in DAY..DAY + 4 {
            writer.keep(day, &[row(day, 1, 1)]).await.expect("kept");
        }
        assert_eq!(log.drop_before(DAY).await.expect("dropped"), 0);
        assert_eq!(log.drop_before(DAY + 2).await.expect("dropped"), 2);
        assert_eq!(log.drop_before(DAY + 2).await.expect("dropped"), 0);
        let days = |rows: Vec<TelemetryRow>| rows.into_iter().map(|row| row.day).collect::<Vec<_>>();
        assert_eq!(days(all(&log, 1).await), [DAY + 2, DAY + 3]);
        assert!(log.bytes_of(DAY + 3).await.expect("a size") > 0);
        assert_eq!(log.bytes_of(DAY).await.expect("a size"), 0);
        if let Keep::Database(_) = &keep {
            // Somebody has dropped the day that is written to: the next try makes it anew.
            assert_eq!(log.drop_before(DAY + 4).await.expect("dropped"), 2);
            assert!(writer.keep(DAY + 3, &[row(DAY + 3, 2, 1)]).await.is_err());
            writer.keep(DAY + 3, &[row(DAY + 3, 3, 1)]).await.expect("kept");
            assert_eq!(days(all(&log, 1).await), [DAY + 3]);
        }
        writer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_begin_a_day_at_once_all_get_their_reports_kept() {
    for (store, keep) in stores().await {
        // A file belongs to one instance.
        let Keep::Database(_) = &keep else { continue };
        let log = log(&store, &keep);
        let tasks = (1..=8_u8).map(|n| {
            let mut writer = log.writer();
            tokio::spawn(async move { writer.keep(DAY, &[row(DAY, n, 1)]).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("no panic").expect("kept");
        }
        assert_eq!(all(&log, 1).await.len(), 8);
    }
}
