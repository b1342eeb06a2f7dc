//! What these tests have in common.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use metagame::core::device::device_hash;
use metagame::core::session::{RefreshSecret, SessionId};
use metagame::store::{DeviceLogin, Store};
use metagame::{DatabaseLimits, DatabaseLocation};
use protocol::id::PlayerId;
use testkit::postgres::{TestDatabase, shared};
use testkit::proxy::Proxy;
use uuid::Uuid;

use super::stores::Keep;

pub(crate) const NOW: u64 = 1_795_305_600_000;

/// The states of PostgreSQL after which a transaction is repeated: serialization failure, deadlock, lock not available.
pub(crate) const STATES: [&str; 3] = ["40001", "40P01", "55P03"];

/// A player with an account.
pub(crate) async fn player(store: &Store, n: u8) -> PlayerId {
    let token = RefreshSecret::new(&[7; 32]).first(SessionId(Uuid::from_bytes([n; 16])), [n; 32]);
    let login = DeviceLogin {
        device: device_hash(&format!("{:032x}", u128::from(n) << 64 | 0xABCD)).expect("a device id"),
        new_player: PlayerId::from_entropy([n; 16]),
        name: None,
        session: token.session,
        token: token.hash(),
        sessions_max: 8,
        now_ms: NOW,
    };
    store.login_device(login).await.expect("a login").player
}

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
    (store, proxy, database)
}
