//! Logins on both databases, many at once: one code makes one account, a changed password leaves no session behind, and of
//! several instances one makes the next key.

mod stores;

use metagame::core::session::{RefreshSecret, SessionId};
use metagame::store::{
    CodeTry, Linked, NewCode, NewLink, NewMail, NewSession, NewSigningKey, PasswordChange, PasswordLoggedIn,
    PasswordLogin, PasswordRegistration, PasswordReset, Registered, Shown, Store, TotpConfirmation, Tried, Unlinked,
};
use metagame::vault::{BlindIndex, Vault};
use protocol::id::PlayerId;
use stores::{Keep, stores};
use tokio::task::JoinSet;

const NOW: u64 = 1_700_000_000_000;
const CALLERS: u8 = 12;

fn vault() -> Vault {
    Vault::new(&[1; 32])
}

fn session(n: u8) -> NewSession {
    let session = SessionId::from_time(NOW, [n; 10]);
    NewSession {
        session,
        token: RefreshSecret::new(&[7; 32]).first(session, [n; 32]).hash(),
        method: "password",
        strong_by: None,
        sessions_max: 100,
        now_ms: NOW,
    }
}

async fn send_code(store: &Store, n: u8, purpose: &'static str, player: Option<PlayerId>) {
    let code = NewCode {
        code_id: [n; 16],
        purpose,
        player,
        code_hash: [n; 32],
        sealed: b"sealed".to_vec(),
        expires_at_ms: NOW + 1_000,
    };
    let mail =
        NewMail { mail_id: [n; 16], player, sealed: b"sealed".to_vec(), now_ms: NOW, expires_at_ms: NOW + 1_000 };
    store.send_code(code, mail).await.expect("sent");
}

fn tried(n: u8, purpose: &'static str, now_ms: u64) -> CodeTry {
    CodeTry { code_id: [n; 16], purpose, code_hash: [n; 32], now_ms }
}

/// A registration by code `code` that would make player `n`.
fn registration(code: u8, email: u8, n: u8) -> PasswordRegistration {
    let new_player = PlayerId::from_entropy([n; 16]);
    PasswordRegistration {
        code: tried(code, "register", NOW),
        email: BlindIndex([email; 32]),
        sealed_email: b"sealed".to_vec(),
        phc: format!("hash {n}"),
        new_player,
        name: None,
        key: vault().new_account_key(new_player).1,
        vault: vault().name().to_owned(),
        marks: Vec::new(),
        session: session(n),
    }
}

fn password_login(player: PlayerId, checked: String, session: NewSession) -> PasswordLogin {
    PasswordLogin {
        player,
        checked,
        rehashed: None,
        must_confirm: false,
        code: None,
        shown: None,
        marks: Vec::new(),
        session,
    }
}

async fn account(store: &Store, n: u8) -> PlayerId {
    send_code(store, n, "register", None).await;
    match store.register_password(registration(n, n, n)).await.expect("registered") {
        Registered::Done(done) => done.player,
        other => panic!("{other:?}"),
    }
}

/// Makes the first two sessions that begin fail to be written, as if another transaction had been in the way.
fn inject(keep: &Keep) {
    let Keep::Database(database) = keep else { return };
    database.psql(
        "CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF nextval('tries') <= 2 THEN RAISE EXCEPTION 'injected' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER fail BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION fail()",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_makes_one_account_however_many_send_it_at_once() {
    for (store, keep) in stores().await {
        send_code(&store, 1, "register", None).await;
        inject(&keep);
        let mut tasks = JoinSet::new();
        for n in 0..CALLERS {
            let store = store.clone();
            tasks.spawn(async move { store.register_password(registration(1, 1, n)).await.expect("an answer") });
        }
        let answers = tasks.join_all().await;
        let done = answers.iter().filter(|one| matches!(one, Registered::Done(_))).count();
        let gone = answers.iter().filter(|one| matches!(one, Registered::Gone)).count();
        assert_eq!((done, gone), (1, usize::from(CALLERS) - 1), "{answers:?}");
        assert_eq!(store.stats().await.expect("stats").accounts, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_codes_for_one_address_make_one_account() {
    for (store, _keep) in stores().await {
        for n in 1..=CALLERS {
            send_code(&store, n, "register", None).await;
        }
        let mut tasks = JoinSet::new();
        for n in 1..=CALLERS {
            let store = store.clone();
            tasks.spawn(async move { store.register_password(registration(n, 200, n)).await.expect("an answer") });
        }
        let answers = tasks.join_all().await;
        let done = answers.iter().filter(|one| matches!(one, Registered::Done(_))).count();
        let taken = answers.iter().filter(|one| matches!(one, Registered::Taken)).count();
        assert_eq!((done, taken), (1, usize::from(CALLERS) - 1), "{answers:?}");
    }
}

#[tokio::test]
async fn a_registration_that_is_repeated_after_a_lost_commit_is_the_same_account() {
    for (store, _keep) in stores().await {
        let player = account(&store, 1).await;
        let again = store.register_password(registration(1, 1, 1)).await.expect("an answer");
        assert!(matches!(again, Registered::Done(done) if done.player == player && done.created), "{again:?}");
        send_code(&store, 9, "reset", Some(player)).await;
        let reset = PasswordReset { code: tried(9, "reset", NOW), player, phc: "another".into(), mail: None };
        for _ in 0..2 {
            assert_eq!(
                store.reset_password(reset.clone()).await.expect("an answer"),
                Tried::Right { player: Some(player) }
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_beside_a_change_of_the_password_leave_no_session_behind() {
    for (store, _keep) in stores().await {
        for round in 1..=4_u8 {
            let player = account(&store, round).await;
            let mut tasks = JoinSet::new();
            for n in 0..CALLERS {
                let store = store.clone();
                tasks.spawn(async move {
                    if n == CALLERS / 2 {
                        let (checked, phc) = (format!("hash {round}"), "changed".to_owned());
                        let change = PasswordChange { player, checked, phc, kept: None, mail: None, now_ms: NOW };
                        assert!(store.change_password(change).await.expect("an answer"));
                        return None;
                    }
                    let checked = format!("hash {round}");
                    let login = password_login(player, checked, session(100 + round * 20 + n));
                    Some(store.login_password(login).await.expect("an answer"))
                });
            }
            for answer in tasks.join_all().await.into_iter().flatten() {
                assert!(matches!(answer, PasswordLoggedIn::In(..) | PasswordLoggedIn::Stale), "{answer:?}");
            }
            assert_eq!(store.sessions(player, NOW).await.expect("read"), [], "whoever was in is out");
        }
    }
}

#[tokio::test]
async fn a_code_bears_five_guesses_and_expires() {
    for (store, _keep) in stores().await {
        let player = account(&store, 1).await;
        let reset = |n: u8, code_hash: [u8; 32], now_ms: u64| PasswordReset {
            code: CodeTry { code_hash, ..tried(n, "reset", now_ms) },
            player,
            phc: format!("hash of {n} {now_ms}"),
            mail: None,
        };
        let answer = async |reset| store.reset_password(reset).await.expect("an answer");
        send_code(&store, 5, "reset", Some(player)).await;
        for _ in 0..5 {
            assert_eq!(answer(reset(5, [0; 32], NOW)).await, Tried::Wrong);
        }
        assert_eq!(answer(reset(5, [5; 32], NOW)).await, Tried::Gone);
        send_code(&store, 6, "reset", Some(player)).await;
        assert_eq!(answer(reset(6, [6; 32], NOW + 1_000)).await, Tried::Gone, "too late");
        store.prune(NOW + 1_000).await.expect("pruned");
        assert!(store.claim_mails(NOW + 1_000, 10).await.expect("read").is_empty(), "mail of dead codes is not sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_look_for_mail_one_sends_it() {
    for (store, _keep) in stores().await {
        for n in 0..CALLERS {
            send_code(&store, n, "register", None).await;
        }
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            let store = store.clone();
            tasks.spawn(async move { store.claim_mails(NOW, 3).await.expect("mail") });
        }
        let mut claimed: Vec<_> = tasks.join_all().await.into_iter().flatten().map(|mail| mail.mail_id).collect();
        claimed.extend(store.claim_mails(NOW, 100).await.expect("mail").into_iter().map(|mail| mail.mail_id));
        claimed.sort_unstable();
        let all: Vec<_> = (0..CALLERS).map(|n| [n; 16]).collect();
        assert_eq!(claimed, all, "each once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_instances_one_makes_the_next_key() {
    for (store, _keep) in stores().await {
        let key = |n: u8, signs_from_ms| NewSigningKey {
            kid: format!("key {n}"),
            public_key: [n; 32],
            sealed: vec![n],
            signs_from_ms,
            now_ms: NOW,
        };
        assert!(store.add_signing_key(key(0, NOW), None, None).await.expect("added"));
        let mut tasks = JoinSet::new();
        for n in 1..=CALLERS {
            let (store, key) = (store.clone(), key(n, NOW + 1_000));
            tasks
                .spawn(async move { store.add_signing_key(key, Some("key 0".into()), None).await.expect("an answer") });
        }
        assert_eq!(tasks.join_all().await.into_iter().filter(|added| *added).count(), 1);
        assert_eq!(store.signing_keys().await.expect("read").len(), 2);
    }
}

fn way(player: PlayerId, n: u8) -> NewLink {
    let subject = vec![n; 32];
    NewLink { player, provider: "device".into(), subject, sealed: None, mail: None, now_ms: NOW }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_remove_the_last_two_ways_at_once_leave_one() {
    for (store, _keep) in stores().await {
        for round in 1..=4_u8 {
            let player = account(&store, round).await;
            let more = way(player, 100 + round);
            assert_eq!(store.link(more.clone()).await.expect("linked"), Linked::Done);
            let email = NewLink { provider: "email".into(), subject: vec![round; 32], ..more.clone() };
            let kept = session(round).session;
            let (one, two) = (store.clone(), store.clone());
            let answers = tokio::join!(
                tokio::spawn(async move { one.unlink(more, kept).await.expect("an answer") }),
                tokio::spawn(async move { two.unlink(email, kept).await.expect("an answer") }),
            );
            let mut answers = [answers.0.expect("no panic"), answers.1.expect("no panic")];
            answers.sort_by_key(|one| *one != Unlinked::Done);
            assert_eq!(answers, [Unlinked::Done, Unlinked::Last]);
            assert_eq!(store.identities(player).await.expect("read").len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_two_accounts_link_at_once_leads_to_one() {
    for (store, _keep) in stores().await {
        let (ada, bob) = (account(&store, 1).await, account(&store, 2).await);
        for n in 50..54 {
            let mut tasks = JoinSet::new();
            for caller in 0..CALLERS {
                let (store, link) = (store.clone(), way(if caller % 2 == 0 { ada } else { bob }, n));
                tasks.spawn(async move { (link.player, store.link(link).await.expect("an answer")) });
            }
            let answers = tasks.join_all().await;
            let owners: std::collections::BTreeSet<_> =
                answers.iter().filter(|(_, linked)| *linked == Linked::Done).map(|(player, _)| *player).collect();
            assert_eq!(owners.len(), 1, "{answers:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_that_is_shown_many_times_at_once_counts_once() {
    for (store, _keep) in stores().await {
        let player = account(&store, 1).await;
        assert!(store.begin_totp(player, vec![1], NOW).await.expect("begun"));
        let confirmation = TotpConfirmation {
            player,
            sealed: vec![1],
            step: 10,
            recovery: vec![[1; 32], [2; 32]],
            session: session(1).session,
            mail: None,
            now_ms: NOW,
        };
        assert!(store.confirm_totp(confirmation.clone()).await.expect("confirmed"));
        assert!(store.confirm_totp(confirmation).await.expect("a repetition finds out"));
        assert!(!store.begin_totp(player, vec![2], NOW).await.expect("an answer"), "another app cannot take its place");
        for (what, shown) in [("a code", Shown::Totp(11)), ("one on paper", Shown::Recovery([1; 32]))] {
            let mut tasks = JoinSet::new();
            for _ in 0..CALLERS {
                let (store, session, shown) = (store.clone(), session(1).session, shown.clone());
                tasks.spawn(async move { store.step_up(player, session, shown, NOW).await.expect("an answer") });
            }
            assert_eq!(tasks.join_all().await.into_iter().filter(|used| *used).count(), 1, "{what}");
        }
        let login = PasswordLogin { shown: None, ..password_login(player, "hash 1".into(), session(7)) };
        assert_eq!(store.login_password(login.clone()).await.expect("an answer"), PasswordLoggedIn::NeedsFactor);
        let login = PasswordLogin { shown: Some(Shown::Totp(12)), ..login };
        for _ in 0..2 {
            // The second is the same login once more, after a commit that nobody heard of.
            let answer = store.login_password(login.clone()).await.expect("an answer");
            assert!(matches!(answer, PasswordLoggedIn::In(_, Some(_))), "{answer:?}");
        }
    }
}
