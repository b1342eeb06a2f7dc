//! Several ways into one account: linked by the player, and never by guessing that two addresses are one person.

use protocol::id::PlayerId;

use super::audit::audit;
use super::codes::{CodeTry, NewMail, Tried, enqueue_mail, try_code};
use super::passwords::EMAIL;
use super::sessions::end_sessions;
use super::{Store, StoreError};
use crate::args;
use crate::core::session::SessionId;
use crate::db::{Domain, Tx};

/// Most ways into one account.
const IDENTITIES_MAX: u64 = 16;

/// A way into an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedIdentity {
    /// Who vouches: "device", "email", ….
    pub provider: String,
    /// Whom it names there, as it is kept.
    pub subject: Vec<u8>,
    /// When it was linked, if that is known; Unix milliseconds.
    pub linked_at_ms: Option<u64>,
    /// What its owner calls it, sealed under the account's key.
    pub sealed: Option<Vec<u8>>,
}

/// A way to link to an account.
#[derive(Clone)]
pub struct NewLink {
    /// The account.
    pub player: PlayerId,
    /// Who vouches.
    pub provider: String,
    /// Whom it names there, as it is kept.
    pub subject: Vec<u8>,
    /// What its owner calls it, sealed under the account's key.
    pub sealed: Option<Vec<u8>>,
    /// What tells the player.
    pub mail: Option<NewMail>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// An address and a password to link to an account.
#[derive(Clone)]
pub struct PasswordLink {
    /// The code that shows that the address is read.
    pub code: CodeTry,
    /// What to link.
    pub link: NewLink,
    /// Hash of the password.
    pub phc: String,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// It leads to the account.
    Done,
    /// It leads to another account.
    InUse,
    /// The account has an address already, or too many ways.
    TooMany,
    /// The code was wrong.
    WrongCode,
    /// There is no such code any more.
    CodeGone,
}

/// What became of a way that its player wants removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlinked {
    /// It leads to the account no more.
    Done,
    /// It never did.
    Unknown,
    /// It is the only one: without it nobody could log in.
    Last,
}

impl Store {
    /// The ways into an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn identities(&self, player: PlayerId) -> Result<Vec<ListedIdentity>, StoreError> {
        let sql = "SELECT provider, subject, linked_at_ms, sealed FROM identities
                   WHERE player_id = $1 ORDER BY provider, subject";
        let rows = self.db.all(Domain::Identity, sql, args![player]).await?;
        let listed =
            |(provider, subject, linked_at_ms, sealed)| ListedIdentity { provider, subject, linked_at_ms, sealed };
        Ok(rows.into_iter().map(listed).collect())
    }

    /// Links a way to an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn link(&self, link: NewLink) -> Result<Linked, StoreError> {
        self.db.write(Domain::Identity, link, |tx, new| Box::pin(link_one(tx, new))).await
    }

    /// Links an address and a password to an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn link_password(&self, link: PasswordLink) -> Result<Linked, StoreError> {
        self.db.write(Domain::Identity, link, |tx, link| Box::pin(link_password(tx, link))).await
    }

    /// Removes a way into an account; all sessions but this one end, for some may have begun by it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unlink(&self, gone: NewLink, kept: SessionId) -> Result<Unlinked, StoreError> {
        self.db.write(Domain::Identity, (gone, kept), |tx, (gone, kept)| Box::pin(unlink(tx, gone, *kept))).await
    }
}

/// Links a way to an account, within the transaction of what proves it.
pub(super) async fn link_one(tx: &mut Tx, new: &NewLink) -> Result<Linked, StoreError> {
    let sql = "SELECT player_id FROM identities WHERE provider = $1 AND subject = $2";
    let owner: Option<PlayerId> = tx.optional(sql, args![new.provider, new.subject]).await?;
    match owner {
        Some(owner) if owner == new.player => return Ok(Linked::Done),
        Some(_) => return Ok(Linked::InUse),
        None => {}
    }
    let sql = "SELECT count(*) FROM identities WHERE player_id = $1";
    let count: u64 = tx.one(sql, args![new.player]).await?;
    if count >= IDENTITIES_MAX {
        return Ok(Linked::TooMany);
    }
    let sql = "INSERT INTO identities (provider, subject, player_id, linked_at_ms, sealed) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, args![new.provider, new.subject, new.player, new.now_ms, new.sealed]).await?;
    if let Some(mail) = &new.mail {
        enqueue_mail(tx, mail).await?;
    }
    audit(tx, new.now_ms, "identity_linked", &new.player.to_string(), &new.provider).await?;
    Ok(Linked::Done)
}

async fn link_password(tx: &mut Tx, one: &PasswordLink) -> Result<Linked, StoreError> {
    let link = &one.link;
    let phc: Option<String> = tx.optional("SELECT phc FROM passwords WHERE player_id = $1", args![link.player]).await?;
    if phc.as_ref() == Some(&one.phc) {
        // A salt is used once: this ran before, and nobody knew whether it was committed.
        return Ok(Linked::Done);
    }
    match try_code(tx, &one.code).await? {
        Tried::Right { player } if player == Some(link.player) => {}
        Tried::Right { .. } | Tried::Gone => return Ok(Linked::CodeGone),
        Tried::Wrong => return Ok(Linked::WrongCode),
    }
    if phc.is_some() {
        return Ok(Linked::TooMany);
    }
    let linked = link_one(tx, link).await?;
    if linked == Linked::Done {
        let sql = "INSERT INTO passwords (player_id, phc, changed_at_ms) VALUES ($1, $2, $3)";
        tx.execute(sql, args![link.player, one.phc, link.now_ms]).await?;
    }
    Ok(linked)
}

async fn unlink(tx: &mut Tx, gone: &NewLink, kept: SessionId) -> Result<Unlinked, StoreError> {
    // Read whole: of two that remove one each at once, the second must see what the first has left.
    let sql = "SELECT provider, subject FROM identities WHERE player_id = $1";
    let ways: Vec<(String, Vec<u8>)> = tx.all(sql, args![gone.player]).await?;
    if !ways.iter().any(|(provider, subject)| *provider == gone.provider && *subject == gone.subject) {
        return Ok(Unlinked::Unknown);
    }
    if ways.len() == 1 {
        return Ok(Unlinked::Last);
    }
    let sql = "DELETE FROM identities WHERE provider = $1 AND subject = $2 AND player_id = $3";
    tx.execute(sql, args![gone.provider, gone.subject, gone.player]).await?;
    if gone.provider == EMAIL {
        tx.execute("DELETE FROM passwords WHERE player_id = $1", args![gone.player]).await?;
    }
    end_sessions(tx, gone.player, Some(kept), gone.now_ms).await?;
    if let Some(mail) = &gone.mail {
        enqueue_mail(tx, mail).await?;
    }
    audit(tx, gone.now_ms, "identity_unlinked", &gone.player.to_string(), &gone.provider).await?;
    Ok(Unlinked::Done)
}
