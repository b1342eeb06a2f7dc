//! Accounts for tests of the use cases.

use metagame::core::device::device_hash;
use metagame::core::session::{RefreshSecret, SessionId};
use metagame::store::{DeviceLogin, Store};
use protocol::id::PlayerId;
use uuid::Uuid;

/// Unix milliseconds at which these tests begin.
pub(crate) const NOW: u64 = 1_700_000_000_000;

/// The player of this number.
pub(crate) fn player(n: u16) -> PlayerId {
    PlayerId::from_entropy((u128::from(n) << 64 | 0xABCD).to_be_bytes())
}

/// Makes the accounts of the players 1 to `count`, named "Player 1" and so on.
pub(crate) async fn accounts(store: &Store, count: u16) -> Vec<PlayerId> {
    for n in 1..=count {
        let session = SessionId(Uuid::from_u128(u128::from(n)));
        let login = DeviceLogin {
            device: device_hash(&format!("{:032x}", u128::from(n) << 64 | 0xABCD)).expect("a device id"),
            new_player: player(n),
            name: Some(format!("Player {n}").parse().expect("a name")),
            session,
            token: RefreshSecret::new(&[7; 32]).first(session, [1; 32]).hash(),
            sessions_max: 3,
            now_ms: NOW,
        };
        store.login_device(login).await.expect("a login");
    }
    (1..=count).map(player).collect()
}
