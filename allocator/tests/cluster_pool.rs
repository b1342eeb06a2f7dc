//! The bench `kubernetes_pool` in small: that it measures what it says, on a real cluster.
//! `KUBECONFIG=… cargo test -p allocator --test cluster_pool -- --ignored`; the CRDs of Agones and Muster have to be there, and
//! Agones' controllers must not.

mod cluster_stage;
#[allow(dead_code, reason = "other tests use the rest of it")]
mod fake_server;
mod pool_load;

use std::time::Duration;

use pool_load::Plan;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_pool_under_load_gives_no_match_twice_and_the_bench_counts_what_happens() {
    let plan = Plan {
        servers: 2,
        capacity: 16,
        callers: 4,
        rate: 30.0,
        play: Duration::from_millis(800),
        warm_up: Duration::from_millis(500),
        length: Duration::from_secs(3),
        flat_out: Duration::from_millis(500),
        allocator: pool_load::ALLOCATOR.into(),
    };
    let figures = pool_load::run(plan).await;
    let report = figures.json();
    assert_eq!((figures.verdict.double, figures.verdict.misplaced), (0, 0), "{report}");
    let counted = |pointer: &str| report.pointer(pointer).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    for pointer in [
        "/allocations",
        "/rate_per_s",
        "/p50_ms",
        "/retries",
        "/api_shows_allocated/first_match/count",
        "/log_events",
        "/pool_pictures",
        "/flat_out/allocations",
    ] {
        assert!(counted(pointer) > 0.0, "{pointer} in {report}");
    }
    assert_eq!(report["refused"], serde_json::json!({}), "{report}");
    assert!(report["cpu_cores"]["allocator"].is_number(), "{report}");
    assert_eq!(report["meets_goals"], false, "30 a second are no 2,000");
    assert_eq!(figures.lines().len(), 6, "{:?}", figures.lines());
}
