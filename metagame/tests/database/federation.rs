//! Proofs by others, many times at once and once more: each works once, and what it makes is made once.

use metagame::core::session::SessionId;
use metagame::store::{
    BegunProof, FederatedLoggedIn, FederatedLogin, LoggedIn, NewPasskey, NewSession, PasskeyAdded, PasskeyUse, Shown,
    Store, UsedProof,
};
use metagame::vault::Vault;
use protocol::id::PlayerId;
use tokio::task::JoinSet;

use super::races::{first_token, login};
use super::stores::stores;

const NOW: u64 = 1_700_000_000_000;
const CALLERS: u8 = 12;

fn session(n: u8) -> NewSession {
    let token = first_token(n);
    let (session, token) = (token.session, token.hash());
    NewSession { session, token, method: "steam", strong_by: None, sessions_max: 100, now_ms: NOW }
}

/// A login of the Steam account `subject` by the ticket `ticket`, that would make player and session `n`.
fn federated(subject: u8, ticket: u8, n: u8) -> FederatedLogin {
    let vault = Vault::new(&[1; 32]);
    let new_player = PlayerId::from_entropy([n; 16]);
    let (key, wrapped) = vault.new_account_key(new_player);
    FederatedLogin {
        provider: "steam".into(),
        subject: vault.blind_index("subject", &[subject]),
        sealed: Some(key.seal("identity name", b"7")),
        used: Some(UsedProof { proof: [ticket; 32], expires_at_ms: NOW + 1_000 }),
        new_player,
        name: None,
        key: wrapped,
        vault: vault.name().to_owned(),
        marks: vec![vault.blind_index("place", &[n])],
        session: session(n),
    }
}

async fn all(store: &Store, logins: Vec<FederatedLogin>) -> Vec<LoggedIn> {
    let mut tasks = JoinSet::new();
    for login in logins {
        let store = store.clone();
        tasks.spawn(async move { store.login_federated(login).await.expect("a login") });
    }
    let logged_in = |done| match done {
        FederatedLoggedIn::In(done) => Some(done),
        FederatedLoggedIn::Used => None,
    };
    tasks.join_all().await.into_iter().filter_map(logged_in).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_elsewhere_that_logs_in_many_times_at_once_is_one_account() {
    for (store, _keep) in stores().await {
        let done = all(&store, (1..=CALLERS).map(|n| federated(1, n, n)).collect()).await;
        assert_eq!(done.len(), usize::from(CALLERS));
        assert_eq!(done.iter().filter(|one| one.created).count(), 1);
        assert!(done.iter().all(|one| one.player == done[0].player));
        assert_eq!(store.identities(done[0].player).await.expect("read").len(), 1);
        assert_eq!(store.stats().await.expect("stats").accounts, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_shown_many_times_at_once_begins_one_session() {
    for (store, _keep) in stores().await {
        let done = all(&store, (1..=CALLERS).map(|n| federated(1, 9, n)).collect()).await;
        assert_eq!(done.len(), 1, "{done:?}");
        let stats = store.stats().await.expect("stats");
        assert_eq!((stats.accounts, stats.sessions), (1, 1));
    }
}

#[tokio::test]
async fn a_login_that_runs_again_because_nobody_knew_its_outcome_is_the_same_login() {
    for (store, _keep) in stores().await {
        let once = federated(1, 1, 1);
        let first = store.login_federated(once.clone()).await.expect("a login");
        assert_eq!(store.login_federated(once).await.expect("a login"), first);
        assert!(matches!(first, FederatedLoggedIn::In(done) if done.created));
        assert_eq!(store.stats().await.expect("stats").sessions, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_taken_once_by_whom_it_belongs_to() {
    for (store, _keep) in stores().await {
        let (ada, eve) = (PlayerId::from_entropy([1; 16]), PlayerId::from_entropy([2; 16]));
        let begun = BegunProof {
            proof_id: [3; 32],
            purpose: "passkey".into(),
            player: Some(ada),
            sealed: vec![7],
            expires_at_ms: NOW + 10,
        };
        store.begin_proof(begun).await.expect("kept");
        for (purpose, player, now_ms) in [
            ("passkey", Some(eve), NOW),
            ("passkey", None, NOW),
            ("oidc", Some(ada), NOW),
            ("passkey", Some(ada), NOW + 10),
        ] {
            assert_eq!(store.take_proof([3; 32], purpose, player, now_ms).await.expect("read"), None);
        }
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            let store = store.clone();
            tasks.spawn(async move { store.take_proof([3; 32], "passkey", Some(ada), NOW).await.expect("read") });
        }
        let taken: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(taken, [vec![7]]);
    }
}

fn passkey(player: PlayerId, session: SessionId, n: u8) -> NewPasskey {
    let recovery = vec![[n; 32]];
    NewPasskey { player, passkey_id: [n; 32], sealed: vec![n], recovery, session, mail: None, now_ms: NOW }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkeys_answer_counts_once_and_the_first_factor_gives_the_codes_on_paper() {
    for (store, _keep) in stores().await {
        let begun = login(1, 1);
        let session = begun.session;
        let player = store.login_device(begun).await.expect("a login").player;
        let mut tasks = JoinSet::new();
        for n in 1..=4 {
            let store = store.clone();
            tasks.spawn(async move { store.add_passkey(passkey(player, session, n)).await.expect("added") });
        }
        let added = tasks.join_all().await;
        let firsts = added.iter().filter(|one| **one == PasskeyAdded::Done { is_first: true }).count();
        assert_eq!((added.len(), firsts), (4, 1), "{added:?}");
        assert!(store.asks_for_factor(player).await.expect("read"));
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            let store = store.clone();
            let used = Shown::Passkey(PasskeyUse { passkey_id: [1; 32], version: 1, sealed: vec![9] });
            tasks.spawn(async move { store.step_up(player, session, used, NOW).await.expect("an answer") });
        }
        assert_eq!(tasks.join_all().await.into_iter().filter(|used| *used).count(), 1);
        for n in 1..=4_u8 {
            assert!(store.remove_passkey(player, [n; 32], None, NOW).await.expect("removed"));
        }
        assert!(!store.asks_for_factor(player).await.expect("read"));
        let again = store.add_passkey(passkey(player, session, 5)).await.expect("added");
        assert_eq!(again, PasskeyAdded::Done { is_first: true }, "the codes on paper went with the last one");
    }
}
