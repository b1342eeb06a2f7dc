//! Accounts that others vouch for: a Steam account, an account with an identity provider.

use protocol::id::PlayerId;

use super::guard::see;
use super::links::{Linked, NewLink, link_one};
use super::proofs::{UsedProof, use_proof};
use super::sessions::{NewSession, barred, begin_session};
use super::vault::keep_account_key;
use super::{LoggedIn, Store, StoreError};
use crate::args;
use crate::core::name::PlayerName;
use crate::db::{Domain, Tx};
use crate::vault::{BlindIndex, WrappedKey};

/// A login of somebody for whom another system vouches.
#[derive(Clone)]
pub struct FederatedLogin {
    /// Who vouches.
    pub provider: String,
    /// Whom it names, as a blind index.
    pub subject: BlindIndex,
    /// What the owner calls it, sealed under the key of the account if it has to be made.
    pub sealed: Option<Vec<u8>>,
    /// The proof, where it could be shown twice.
    pub used: Option<UsedProof>,
    /// Id of the account, if it has to be made; a fresh one for every try.
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

/// What it led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FederatedLoggedIn {
    /// The session has begun; or the account is kept out.
    In(LoggedIn),
    /// The proof was used before.
    Used,
}

/// A way to link for which another system vouches.
#[derive(Clone)]
pub struct FederatedLink {
    /// What to link.
    pub link: NewLink,
    /// The proof, where it could be shown twice.
    pub used: Option<UsedProof>,
}

impl Store {
    /// Finds or makes the account of somebody for whom another system vouches, and begins a session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn login_federated(&self, login: FederatedLogin) -> Result<FederatedLoggedIn, StoreError> {
        self.db.write(Domain::Identity, login, |tx, login| Box::pin(login_federated(tx, login))).await
    }

    /// Links a way for which another system vouches. `None`: the proof was used before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn link_federated(&self, link: FederatedLink) -> Result<Option<Linked>, StoreError> {
        self.db
            .write(Domain::Identity, link, |tx, one| {
                Box::pin(async move {
                    if let Some(used) = &one.used
                        && !use_proof(tx, used, one.link.player.to_bytes().to_vec()).await?
                    {
                        return Ok(None);
                    }
                    link_one(tx, &one.link).await.map(Some)
                })
            })
            .await
    }
}

async fn login_federated(tx: &mut Tx, login: &FederatedLogin) -> Result<FederatedLoggedIn, StoreError> {
    let now_ms = login.session.now_ms;
    if let Some(used) = &login.used
        && !use_proof(tx, used, login.session.session.0.as_bytes().to_vec()).await?
    {
        return Ok(FederatedLoggedIn::Used);
    }
    let sql = "SELECT player_id FROM identities WHERE provider = $1 AND subject = $2";
    let player = match tx.optional(sql, args![login.provider, login.subject]).await? {
        Some(player) => player,
        None => create_account(tx, login).await?,
    };
    if let Some(until_ms) = barred(tx, player, now_ms).await? {
        let kept_out = LoggedIn { player, created: false, expires_at_ms: 0, barred_until_ms: Some(until_ms) };
        return Ok(FederatedLoggedIn::In(kept_out));
    }
    see(tx, player, &login.marks, now_ms).await?;
    let expires_at_ms = begin_session(tx, player, &login.session).await?;
    // Its id tells: true as well when this runs again because nobody knew whether it was committed.
    let created = player == login.new_player;
    Ok(FederatedLoggedIn::In(LoggedIn { player, created, expires_at_ms, barred_until_ms: None }))
}

async fn create_account(tx: &mut Tx, login: &FederatedLogin) -> Result<PlayerId, StoreError> {
    let (player, now_ms) = (login.new_player, login.session.now_ms);
    super::accounts::insert_account(tx, player, login.name.as_ref(), now_ms).await?;
    keep_account_key(tx, player, &login.key, &login.vault, now_ms).await?;
    let sql = "INSERT INTO identities (provider, subject, player_id, linked_at_ms, sealed) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, args![login.provider, login.subject, player, now_ms, login.sealed]).await?;
    Ok(player)
}
