//! What SQLite's one writer hides: many at once, transactions that fail half-way, connections that break at COMMIT.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use metagame::store::Store;
use metagame::store::economy::Granted;
use metagame::{DatabaseLimits, DatabaseLocation};
use testkit::postgres::{TestDatabase, shared};
use testkit::proxy::{CutAt, Proxy};
use tokio::task::JoinSet;

use super::hands::{assert_whole, balance, catalog, give, gold, player, shops};
use super::stores::Keep;

/// The states of PostgreSQL after which a transaction is repeated: serialization failure, deadlock, lock not available.
pub(crate) const STATES: [&str; 3] = ["40001", "40P01", "55P03"];

/// Makes the first `times` inserts into `table` fail with this SQLSTATE; a sequence is not taken back with its transaction.
pub(crate) fn inject(keep: &Keep, table: &str, state: &str, times: u32) {
    let Keep::Database(database) = keep else { return };
    database.psql(&format!(
        "CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'injected' USING ERRCODE = '{state}'; END IF;
         RETURN NEW; END $$;
         CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()"
    ));
}

/// A store on PostgreSQL behind a proxy that can cut commits off.
pub(crate) async fn behind() -> (Store, Proxy, TestDatabase) {
    let database = TestDatabase::new();
    let port = shared().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
    let url = format!("postgres://postgres@{}/{}?sslmode=disable", proxy.address(), database.name());
    let limits = DatabaseLimits { patience: Duration::from_secs(20), ..DatabaseLimits::default() };
    let store = Store::open(&DatabaseLocation::parse(&url).expect("an address"), limits).await.expect("a database");
    (store.with_catalog(catalog()), proxy, database)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_grants_at_once_to_one_wallet_all_count_and_each_once() {
    for (store, _keep) in shops().await {
        let ada = player(&store, 1).await;
        let mut grants = JoinSet::new();
        for n in 0..24_u8 {
            // Every cause comes three times.
            let (store, gift) = (store.clone(), gold(ada, &(n % 8).to_string(), 1 << (n % 8)));
            grants.spawn(async move { give(&store, gift).await.expect("an answer") });
        }
        let given = grants.join_all().await;
        assert_eq!(given.iter().filter(|one| **one == Granted::Now).count(), 8);
        assert_eq!(balance(&store, ada, "gold").await, 255);
        assert_whole(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_fails_half_way_is_repeated_until_it_counts_once() {
    for state in STATES {
        for (store, keep) in shops().await {
            let ada = player(&store, 1).await;
            inject(&keep, "postings", state, 4);
            assert_eq!(give(&store, gold(ada, "1", 5)).await.expect("repeated"), Granted::Now);
            assert_eq!(balance(&store, ada, "gold").await, 5);
            assert_whole(&store).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_whose_commit_was_cut_off_counts_once() {
    for at in [CutAt::BeforeCommit, CutAt::AfterCommit] {
        let (store, proxy, _database) = behind().await;
        let ada = player(&store, 1).await;
        proxy.cut_commits(at, 2);
        let given = give(&store, gold(ada, "1", 5)).await.expect("found out");
        assert_eq!(given, if at == CutAt::BeforeCommit { Granted::Now } else { Granted::Before });
        assert_eq!((balance(&store, ada, "gold").await, proxy.cuts_left() < 2), (5, true));
        assert_whole(&store).await;
    }
}
