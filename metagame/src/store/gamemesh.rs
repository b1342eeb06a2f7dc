//! Accounts with a username, for clients of the GameMesh backend.
//!
//! The e-mail address that such an account gives is believed by nobody: no mail is sent to it, no password is reset by it, and
//! whoever proves to read it (`store/passwords.rs`) goes before.

use protocol::id::{MatchId, PlayerId};

use super::guard::see;
use super::passwords::{EMAIL, StoredPassword};
use super::vault::keep_account_key;
use super::{Store, StoreError};
use crate::args;
use crate::core::name::PlayerName;
use crate::core::rating::Rating;
use crate::core::session::{SessionId, TokenHash};
use crate::db::{Domain, List, Tx};
use crate::vault::{BlindIndex, WrappedKey};

/// Provider of identities that are a username; their subject is its blind index.
pub const USERNAME: &str = "username";
/// Provider of identities that are an e-mail address which nobody has shown to read.
pub const EMAIL_UNCONFIRMED: &str = "email_unconfirmed";
/// How a session of these clients began.
pub const GAMEMESH: &str = "gamemesh";

/// An account to make.
#[derive(Clone)]
pub struct NamedRegistration {
    /// Id of the account; a fresh one for every try.
    pub new_player: PlayerId,
    /// Its name.
    pub name: PlayerName,
    /// Where the username is found again.
    pub username: BlindIndex,
    /// Where the address is found again.
    pub email: BlindIndex,
    /// The address, sealed under the account's key.
    pub sealed_email: Vec<u8>,
    /// Hash of the password.
    pub phc: String,
    /// Its key.
    pub key: WrappedKey,
    /// The key file that wrapped it.
    pub vault: String,
    /// From where it comes.
    pub marks: Vec<BlindIndex>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What a player wants to be called.
#[derive(Clone)]
pub struct NamedChange {
    /// The account.
    pub player: PlayerId,
    /// Its name, and where that is found again.
    pub username: Option<(PlayerName, BlindIndex)>,
    /// Where its address is found again, and the address sealed under the account's key.
    pub email: Option<(BlindIndex, Vec<u8>)>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What became of a name or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// It is the account's.
    Done,
    /// It is another account's.
    Taken,
    /// There is no such account.
    Unknown,
}

/// An account as these clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPlayer {
    /// Its name.
    pub name: String,
    /// Unix milliseconds.
    pub created_at_ms: u64,
    /// Unix milliseconds at which name or address were last changed.
    pub updated_at_ms: u64,
    /// Matches with a result.
    pub matches: u64,
    /// The address, sealed under the account's key: the confirmed one, where there is none the other.
    pub sealed_email: Option<Vec<u8>>,
}

impl Store {
    /// Makes an account with a username and a password.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn register_named(&self, registration: NamedRegistration) -> Result<Named, StoreError> {
        self.db.write(Domain::Identity, registration, |tx, one| Box::pin(register(tx, one))).await
    }

    /// Gives an account another username or address.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn change_named(&self, change: NamedChange) -> Result<Named, StoreError> {
        self.db.write(Domain::Identity, change, |tx, change| Box::pin(change_named(tx, change))).await
    }

    /// The password of the account to which this identity leads.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn password_of_identity(
        &self,
        provider: &'static str,
        subject: BlindIndex,
    ) -> Result<Option<StoredPassword>, StoreError> {
        let sql = "SELECT passwords.player_id, phc FROM identities
                   JOIN passwords ON passwords.player_id = identities.player_id WHERE provider = $1 AND subject = $2";
        let row = self.db.optional(Domain::Identity, sql, args![provider, subject]).await?;
        Ok(row.map(|(player, phc)| StoredPassword { player, phc }))
    }

    /// Whose session this is, if it began by these clients' login and its token is the newest, and since when.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn session_of(
        &self,
        session: SessionId,
        token: TokenHash,
        now_ms: u64,
    ) -> Result<Option<(PlayerId, u64)>, StoreError> {
        let sql = "SELECT player_id, rotated_at_ms FROM sessions
                   WHERE session_id = $1 AND current_hash = $2 AND expires_at_ms > $3 AND method = $4";
        self.db.optional(Domain::Identity, sql, args![session, token, now_ms, GAMEMESH]).await
    }

    /// An account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn named_player(&self, player: PlayerId) -> Result<Option<NamedPlayer>, StoreError> {
        let sql = "SELECT name, created_at_ms, coalesce((SELECT max(linked_at_ms) FROM identities
                          WHERE player_id = $1 AND provider IN ($2, $3)), created_at_ms), matches,
                          coalesce((SELECT sealed FROM identities WHERE player_id = $1 AND provider = $4),
                                   (SELECT sealed FROM identities WHERE player_id = $1 AND provider = $3))
                   FROM accounts WHERE player_id = $1";
        let args = args![player, USERNAME, EMAIL_UNCONFIRMED, EMAIL];
        let row = self.db.optional(Domain::Players, sql, args).await?;
        let read = |(name, created_at_ms, updated_at_ms, matches, sealed_email)| NamedPlayer {
            name,
            created_at_ms,
            updated_at_ms,
            matches,
            sealed_email,
        };
        Ok(row.map(read))
    }

    /// The ratings of these players in a queue; who has none is left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ratings_of(&self, queue: &str, players: &[PlayerId]) -> Result<Vec<(PlayerId, Rating)>, StoreError> {
        let sql = "SELECT player_id, rating, uncertainty FROM ratings WHERE queue = $1 AND player_id IN blobs($2)";
        let rows: Vec<(PlayerId, f64, f64)> = self.db.all(Domain::Matches, sql, args![queue, List(players)]).await?;
        Ok(rows.into_iter().map(|(player, rating, uncertainty)| (player, Rating { rating, uncertainty })).collect())
    }

    /// When a match was placed; Unix milliseconds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn placed_at(&self, match_id: MatchId) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT placed_at_ms FROM matches WHERE match_id = $1";
        self.db.optional(Domain::Matches, sql, args![match_id]).await
    }
}

/// Whether a name leads to an account other than this one.
async fn is_others(tx: &mut Tx, username: BlindIndex, player: PlayerId) -> Result<bool, StoreError> {
    let sql = "SELECT player_id FROM identities WHERE provider = $1 AND subject = $2";
    let owner: Option<PlayerId> = tx.optional(sql, args![USERNAME, username]).await?;
    Ok(owner.is_some_and(|owner| owner != player))
}

/// Whether an address leads to an account other than this one, confirmed or not.
async fn is_others_address(tx: &mut Tx, email: BlindIndex, player: PlayerId) -> Result<bool, StoreError> {
    let sql = "SELECT player_id FROM identities WHERE provider IN ($1, $2) AND subject = $3";
    let owners: Vec<PlayerId> = tx.all(sql, args![EMAIL, EMAIL_UNCONFIRMED, email]).await?;
    Ok(owners.into_iter().any(|owner| owner != player))
}

async fn register(tx: &mut Tx, one: &NamedRegistration) -> Result<Named, StoreError> {
    let (player, now_ms) = (one.new_player, one.now_ms);
    let sql = "SELECT created_at_ms FROM accounts WHERE player_id = $1";
    if tx.optional::<u64>(sql, args![player]).await?.is_some() {
        // This ran before, and nobody knew whether it was committed.
        return Ok(Named::Done);
    }
    if is_others(tx, one.username, player).await? || is_others_address(tx, one.email, player).await? {
        return Ok(Named::Taken);
    }
    super::accounts::insert_account(tx, player, Some(&one.name), now_ms).await?;
    keep_account_key(tx, player, &one.key, &one.vault, now_ms).await?;
    replace(tx, player, USERNAME, one.username, None, now_ms).await?;
    replace(tx, player, EMAIL_UNCONFIRMED, one.email, Some(one.sealed_email.clone()), now_ms).await?;
    let sql = "INSERT INTO passwords (player_id, phc, changed_at_ms) VALUES ($1, $2, $3)";
    tx.execute(sql, args![player, one.phc, now_ms]).await?;
    see(tx, player, &one.marks, now_ms).await?;
    Ok(Named::Done)
}

async fn change_named(tx: &mut Tx, change: &NamedChange) -> Result<Named, StoreError> {
    let (player, now_ms) = (change.player, change.now_ms);
    let sql = "SELECT name FROM accounts WHERE player_id = $1";
    let Some(name) = tx.optional::<String>(sql, args![player]).await? else { return Ok(Named::Unknown) };
    if let Some((_, username)) = change.username
        && is_others(tx, username, player).await?
    {
        return Ok(Named::Taken);
    }
    if let Some((email, _)) = change.email
        && is_others_address(tx, email, player).await?
    {
        return Ok(Named::Taken);
    }
    if let Some((new, username)) = &change.username {
        replace(tx, player, USERNAME, *username, None, now_ms).await?;
        if new.as_str() != name {
            let sql = "UPDATE accounts SET name = $2, version = version + 1 WHERE player_id = $1";
            tx.execute(sql, args![player, new]).await?;
        }
    }
    if let Some((email, sealed)) = &change.email {
        replace(tx, player, EMAIL_UNCONFIRMED, *email, Some(sealed.clone()), now_ms).await?;
    }
    Ok(Named::Done)
}

/// The account's one identity of this kind.
async fn replace(
    tx: &mut Tx,
    player: PlayerId,
    provider: &'static str,
    subject: BlindIndex,
    sealed: Option<Vec<u8>>,
    now_ms: u64,
) -> Result<(), StoreError> {
    tx.execute("DELETE FROM identities WHERE player_id = $1 AND provider = $2", args![player, provider]).await?;
    let sql = "INSERT INTO identities (provider, subject, player_id, linked_at_ms, sealed) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, args![provider, subject, player, now_ms, sealed]).await.map(drop)
}
