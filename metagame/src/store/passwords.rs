//! Accounts with an e-mail address and a password.

use protocol::id::PlayerId;

use super::audit::audit;
use super::codes::{CodeTry, NewMail, Tried, enqueue_mail, try_code};
use super::factors::{Shown, has_factor, use_factor};
use super::guard::see;
use super::sessions::{NewSession, barred, begin_session, end_sessions};
use super::vault::keep_account_key;
use super::{LoggedIn, Store, StoreError};
use crate::args;
use crate::core::factor::StrongBy;
use crate::core::name::PlayerName;
use crate::core::session::SessionId;
use crate::db::{Domain, Tx};
use crate::vault::{BlindIndex, WrappedKey};

/// Provider of identities that are an e-mail address; their subject is its blind index.
pub const EMAIL: &str = "email";

/// A password to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPassword {
    /// The account.
    pub player: PlayerId,
    /// The hash.
    pub phc: String,
}

/// A login whose password was right.
#[derive(Clone)]
pub struct PasswordLogin {
    /// The account.
    pub player: PlayerId,
    /// The hash against which it was checked.
    pub checked: String,
    /// The hash that replaces it, if it is of an older kind.
    pub rehashed: Option<String>,
    /// Whether something besides the password has to be shown.
    pub must_confirm: bool,
    /// A code that was sent by mail.
    pub code: Option<CodeTry>,
    /// A second factor.
    pub shown: Option<Shown>,
    /// From where it comes.
    pub marks: Vec<BlindIndex>,
    /// The session to begin.
    pub session: NewSession,
}

/// What a login by password led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordLoggedIn {
    /// The session has begun.
    In(LoggedIn, Option<StrongBy>),
    /// The password was changed meanwhile.
    Stale,
    /// The account asks for a second factor.
    NeedsFactor,
    /// The second factor was none, or was used before.
    WrongFactor,
    /// A code has to be sent by mail.
    NeedsCode,
    /// The code was wrong.
    WrongCode,
    /// There is no such code any more.
    CodeGone,
    /// The account is kept out until then; Unix milliseconds.
    Barred(u64),
}

/// An account to make once a code has shown that its address is read.
#[derive(Clone)]
pub struct PasswordRegistration {
    /// The code.
    pub code: CodeTry,
    /// Where the address is found again.
    pub email: BlindIndex,
    /// The address, sealed under the account's key.
    pub sealed_email: Vec<u8>,
    /// Hash of the password.
    pub phc: String,
    /// Id of the account; a fresh one for every try.
    pub new_player: PlayerId,
    /// Its name.
    pub name: Option<PlayerName>,
    /// Its key.
    pub key: WrappedKey,
    /// The key file that wrapped it.
    pub vault: String,
    /// From where it comes.
    pub marks: Vec<BlindIndex>,
    /// The session to begin.
    pub session: NewSession,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// The account is there and its session has begun.
    Done(LoggedIn),
    /// The code was wrong.
    WrongCode,
    /// There is no such code any more.
    Gone,
    /// Meanwhile the address is another account's.
    Taken,
}

/// A new password.
#[derive(Clone)]
pub struct PasswordChange {
    /// The account.
    pub player: PlayerId,
    /// The hash against which the old one was checked.
    pub checked: String,
    /// The new one's.
    pub phc: String,
    /// The session that goes on.
    pub kept: Option<SessionId>,
    /// What tells the player.
    pub mail: Option<NewMail>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// A new password for somebody who has forgotten the old one.
#[derive(Clone)]
pub struct PasswordReset {
    /// The code.
    pub code: CodeTry,
    /// Whose it is.
    pub player: PlayerId,
    /// Hash of the new password.
    pub phc: String,
    /// What tells the player.
    pub mail: Option<NewMail>,
}

impl Store {
    /// The password of the account with this address.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn password_of_email(&self, email: BlindIndex) -> Result<Option<StoredPassword>, StoreError> {
        let sql = "SELECT passwords.player_id, phc FROM identities
                   JOIN passwords ON passwords.player_id = identities.player_id WHERE provider = $1 AND subject = $2";
        let row = self.db.optional(Domain::Identity, sql, args![EMAIL, email]).await?;
        Ok(row.map(|(player, phc)| StoredPassword { player, phc }))
    }

    /// Whose address this is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn player_of_email(&self, email: BlindIndex) -> Result<Option<PlayerId>, StoreError> {
        let sql = "SELECT player_id FROM identities WHERE provider = $1 AND subject = $2";
        self.db.optional(Domain::Identity, sql, args![EMAIL, email]).await
    }

    /// A player's password, and the address with it, sealed under the account's key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn password_of(&self, player: PlayerId) -> Result<Option<(String, Option<Vec<u8>>)>, StoreError> {
        let sql = "SELECT phc, (SELECT sealed FROM identities WHERE player_id = $1 AND provider = $2)
                   FROM passwords WHERE player_id = $1";
        self.db.optional(Domain::Identity, sql, args![player, EMAIL]).await
    }

    /// Begins a session for somebody whose password was right.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn login_password(&self, login: PasswordLogin) -> Result<PasswordLoggedIn, StoreError> {
        self.db.write(Domain::Identity, login, |tx, login| Box::pin(login_password(tx, login))).await
    }

    /// Makes an account with an address and a password, and begins its first session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn register_password(&self, registration: PasswordRegistration) -> Result<Registered, StoreError> {
        self.db.write(Domain::Identity, registration, |tx, one| Box::pin(register_password(tx, one))).await
    }

    /// Replaces a password and ends all other sessions. `false`: it was changed meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn change_password(&self, change: PasswordChange) -> Result<bool, StoreError> {
        self.db.write(Domain::Identity, change, |tx, change| Box::pin(change_password(tx, change))).await
    }

    /// Replaces a forgotten password and ends all sessions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reset_password(&self, reset: PasswordReset) -> Result<Tried, StoreError> {
        self.db.write(Domain::Identity, reset, |tx, reset| Box::pin(reset_password(tx, reset))).await
    }
}

async fn login_password(tx: &mut Tx, login: &PasswordLogin) -> Result<PasswordLoggedIn, StoreError> {
    let (player, now_ms) = (login.player, login.session.now_ms);
    if let Some(until_ms) = barred(tx, player, now_ms).await? {
        return Ok(PasswordLoggedIn::Barred(until_ms));
    }
    // Checking takes long: a change in between has ended all sessions, and this would be one more.
    let phc: Option<String> = tx.optional("SELECT phc FROM passwords WHERE player_id = $1", args![player]).await?;
    if phc.as_ref() != Some(&login.checked) && (phc.is_none() || phc != login.rehashed) {
        return Ok(PasswordLoggedIn::Stale);
    }
    let sql = "SELECT count(*) FROM sessions WHERE session_id = $1";
    let was_here: u64 = tx.one(sql, args![login.session.session]).await?;
    // What was shown was used up if this ran before and nobody knew whether it was committed.
    let strong_by = if was_here > 0 {
        login.shown.as_ref().map(Shown::by)
    } else {
        match show(tx, login).await? {
            Ok(strong_by) => strong_by,
            Err(refused) => return Ok(refused),
        }
    };
    if let Some(rehashed) = &login.rehashed {
        tx.execute("UPDATE passwords SET phc = $2 WHERE player_id = $1", args![player, rehashed]).await?;
    }
    see(tx, player, &login.marks, now_ms).await?;
    let session = NewSession { strong_by, ..login.session.clone() };
    let expires_at_ms = begin_session(tx, player, &session).await?;
    let done = LoggedIn { player, created: false, expires_at_ms, barred_until_ms: None };
    Ok(PasswordLoggedIn::In(done, strong_by))
}

/// Uses up what was shown besides the password, where something has to be.
async fn show(tx: &mut Tx, login: &PasswordLogin) -> Result<Result<Option<StrongBy>, PasswordLoggedIn>, StoreError> {
    if has_factor(tx, login.player).await? {
        let Some(shown) = &login.shown else { return Ok(Err(PasswordLoggedIn::NeedsFactor)) };
        let used = use_factor(tx, login.player, shown, login.session.now_ms).await?;
        return Ok(if used { Ok(Some(shown.by())) } else { Err(PasswordLoggedIn::WrongFactor) });
    }
    match &login.code {
        Some(code) => Ok(match try_code(tx, code).await? {
            Tried::Right { player } if player == Some(login.player) => Ok(Some(StrongBy::Mail)),
            Tried::Right { .. } | Tried::Gone => Err(PasswordLoggedIn::CodeGone),
            Tried::Wrong => Err(PasswordLoggedIn::WrongCode),
        }),
        None if login.must_confirm => Ok(Err(PasswordLoggedIn::NeedsCode)),
        None => Ok(Ok(None)),
    }
}

async fn register_password(tx: &mut Tx, one: &PasswordRegistration) -> Result<Registered, StoreError> {
    let player = one.new_player;
    let now_ms = one.session.now_ms;
    let was_here: Option<u64> =
        tx.optional("SELECT created_at_ms FROM accounts WHERE player_id = $1", args![player]).await?;
    if was_here.is_none() {
        match try_code(tx, &one.code).await? {
            Tried::Right { .. } => {}
            Tried::Wrong => return Ok(Registered::WrongCode),
            Tried::Gone => return Ok(Registered::Gone),
        }
        let sql = "SELECT player_id FROM identities WHERE provider = $1 AND subject = $2";
        let owner: Option<PlayerId> = tx.optional(sql, args![EMAIL, one.email]).await?;
        if owner.is_some() {
            return Ok(Registered::Taken);
        }
        create_account(tx, one).await?;
        see(tx, player, &one.marks, now_ms).await?;
    }
    let expires_at_ms = begin_session(tx, player, &NewSession { now_ms, ..one.session.clone() }).await?;
    Ok(Registered::Done(LoggedIn { player, created: true, expires_at_ms, barred_until_ms: None }))
}

async fn create_account(tx: &mut Tx, one: &PasswordRegistration) -> Result<(), StoreError> {
    let (player, now_ms) = (one.new_player, one.session.now_ms);
    super::accounts::insert_account(tx, player, one.name.as_ref(), now_ms).await?;
    keep_account_key(tx, player, &one.key, &one.vault, now_ms).await?;
    let sql = "INSERT INTO identities (provider, subject, player_id, linked_at_ms, sealed) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, args![EMAIL, one.email, player, now_ms, one.sealed_email]).await?;
    let sql = "INSERT INTO passwords (player_id, phc, changed_at_ms) VALUES ($1, $2, $3)";
    tx.execute(sql, args![player, one.phc, now_ms]).await.map(drop)
}

async fn change_password(tx: &mut Tx, change: &PasswordChange) -> Result<bool, StoreError> {
    let (player, now_ms) = (change.player, change.now_ms);
    let phc: Option<String> = tx.optional("SELECT phc FROM passwords WHERE player_id = $1", args![player]).await?;
    if phc.as_ref() == Some(&change.phc) {
        return Ok(true);
    }
    if phc.as_ref() != Some(&change.checked) {
        return Ok(false);
    }
    replace_password(tx, player, &change.phc, now_ms).await?;
    end_sessions(tx, player, change.kept, now_ms).await?;
    if let Some(mail) = &change.mail {
        enqueue_mail(tx, mail).await?;
    }
    audit(tx, now_ms, "password_changed", &player.to_string(), "by its owner").await?;
    Ok(true)
}

async fn reset_password(tx: &mut Tx, reset: &PasswordReset) -> Result<Tried, StoreError> {
    let (player, now_ms) = (reset.player, reset.code.now_ms);
    let phc: Option<String> = tx.optional("SELECT phc FROM passwords WHERE player_id = $1", args![player]).await?;
    if phc.as_ref() == Some(&reset.phc) {
        // A salt is used once: this ran before, and nobody knew whether it was committed.
        return Ok(Tried::Right { player: Some(player) });
    }
    let tried = try_code(tx, &reset.code).await?;
    if tried == (Tried::Right { player: Some(player) }) {
        replace_password(tx, player, &reset.phc, now_ms).await?;
        end_sessions(tx, player, None, now_ms).await?;
        if let Some(mail) = &reset.mail {
            enqueue_mail(tx, mail).await?;
        }
        audit(tx, now_ms, "password_reset", &player.to_string(), "by a code sent by mail").await?;
    }
    Ok(tried)
}

async fn replace_password(tx: &mut Tx, player: PlayerId, phc: &str, now_ms: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO passwords (player_id, phc, changed_at_ms) VALUES ($1, $2, $3)
               ON CONFLICT (player_id) DO UPDATE SET phc = excluded.phc, changed_at_ms = excluded.changed_at_ms";
    tx.execute(sql, args![player, phc, now_ms]).await.map(drop)
}
