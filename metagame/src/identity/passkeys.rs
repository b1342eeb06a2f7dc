//! Passkeys and security keys (WebAuthn level 2), as a second factor. The checks are webauthn-rs's (docs/adr/016).

use protocol::id::PlayerId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::{
    CreationChallengeResponse, Passkey, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, RequestChallengeResponse, Url, Webauthn, WebauthnError,
};
use webauthn_rs::{WebauthnBuilder, prelude::Uuid};

use super::settings::PasskeySettings;
use crate::app::App;
use crate::problem::Problem;
use crate::store::{BegunProof, PasskeyUse, Shown, StoredPasskey};

/// Purposes of what is kept of a challenge.
const REGISTER: &str = "passkey registration";
const SHOW: &str = "passkey";
/// Purpose of a passkey, sealed under its account's key.
const SEALED_PASSKEY: &str = "passkey";
/// How long a challenge can be answered, in milliseconds.
const CHALLENGE_LIFE_MS: u64 = 5 * 60_000;
/// Longest name of a passkey in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Why passkeys cannot be used as the settings say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasskeyFault {
    #[error("origins must name where passkeys are used, as https://… of the domain first")]
    Origins,
    #[error("{0:?} is no origin: write https://host, or what an app is called, such as android:apk-key-hash:…")]
    Origin(String),
    #[error("the first of origins must be https:// of {0:?} or of a part of it, and no address of numbers")]
    Domain(String),
}

/// What checks passkeys, by the settings.
pub(crate) fn build(settings: &PasskeySettings) -> Result<Webauthn, PasskeyFault> {
    let read = |text: &String| Url::parse(text).map_err(|_| PasskeyFault::Origin(text.clone()));
    let origins = settings.origins.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let (first, others) = origins.split_first().ok_or(PasskeyFault::Origins)?;
    let fault = |_| PasskeyFault::Domain(settings.domain.clone());
    let builder = WebauthnBuilder::new(&settings.domain, first).map_err(fault)?.rp_name(&settings.name);
    others.iter().fold(builder, WebauthnBuilder::append_allowed_origin).build().map_err(fault)
}

/// A passkey as it is kept, sealed: what its owner calls it, and what checks it.
#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    passkey: Passkey,
}

/// A passkey in its owner's list.
pub(crate) struct Listed {
    pub(crate) stored: StoredPasskey,
    pub(crate) name: String,
}

/// A challenge to answer.
pub(crate) struct Challenge<T> {
    /// Names it.
    pub(crate) challenge_id: Uuid,
    /// What the browser or the platform is told.
    pub(crate) options: T,
    /// Unix milliseconds.
    pub(crate) expires_at_ms: u64,
}

/// A passkey to keep.
pub(crate) struct Registered {
    pub(crate) passkey_id: [u8; 32],
    pub(crate) sealed: Vec<u8>,
}

impl App {
    fn webauthn(&self) -> Result<&Webauthn, Problem> {
        let detail = "this installation takes no passkeys: name a [passkeys] section in its identity settings";
        self.identity.passkeys.as_ref().ok_or_else(|| Problem::not_found("passkeys-not-configured", detail))
    }
}

/// Begins to register one more.
pub(crate) async fn begin(app: &App, player: PlayerId) -> Result<Challenge<CreationChallengeResponse>, Problem> {
    let webauthn = app.webauthn()?;
    let known = opened(app, player).await?;
    let excluded = known.iter().map(|(_, kept)| kept.passkey.cred_id().clone()).collect();
    let shown = player.to_string();
    let handle = Uuid::from_bytes(player.to_bytes());
    let begun = webauthn.start_passkey_registration(handle, &shown, app.identity.game(), Some(excluded));
    let (options, state) = begun.map_err(|error| internal(&error))?;
    keep(app, REGISTER, player, options, &state).await
}

/// The passkey that answers the challenge of a registration.
pub(crate) async fn register(
    app: &App,
    player: PlayerId,
    challenge_id: Uuid,
    name: String,
    credential: &RegisterPublicKeyCredential,
) -> Result<Registered, Problem> {
    let webauthn = app.webauthn()?;
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
        let detail = format!("a passkey's name has 1 to {NAME_BYTES_MAX} bytes");
        return Err(Problem::invalid("invalid-passkey-name", detail));
    }
    let state: PasskeyRegistration = take(app, REGISTER, player, challenge_id).await?;
    let passkey = webauthn.finish_passkey_registration(credential, &state).map_err(|error| wrong(&error))?;
    let passkey_id = passkey_id(app, passkey.cred_id().as_ref());
    let sealed = seal(app, player, &Kept { name, passkey }).await?;
    Ok(Registered { passkey_id, sealed })
}

/// A challenge for the account's passkeys. `None`: it has none.
pub(crate) async fn challenge(
    app: &App,
    player: PlayerId,
) -> Result<Option<Challenge<RequestChallengeResponse>>, Problem> {
    // Without settings nobody can answer; other factors can be shown.
    let Ok(webauthn) = app.webauthn() else { return Ok(None) };
    let passkeys: Vec<Passkey> = opened(app, player).await?.into_iter().map(|(_, kept)| kept.passkey).collect();
    if passkeys.is_empty() {
        return Ok(None);
    }
    let begun = webauthn.start_passkey_authentication(&passkeys);
    let (options, state) = begun.map_err(|error| internal(&error))?;
    keep(app, SHOW, player, options, &state).await.map(Some)
}

/// What an answered challenge is worth. Counts against the account.
pub(crate) async fn shown(
    app: &App,
    player: PlayerId,
    challenge_id: Uuid,
    credential: &PublicKeyCredential,
) -> Result<Shown, Problem> {
    app.identity.allow_factor(&app.store, player).await?;
    let webauthn = app.webauthn()?;
    let state: PasskeyAuthentication = take(app, SHOW, player, challenge_id).await?;
    let result = webauthn.finish_passkey_authentication(credential, &state);
    if matches!(result, Err(WebauthnError::CredentialPossibleCompromise)) {
        return Err(cloned(app, player, credential).await?);
    }
    let result = result.map_err(|error| wrong(&error))?;
    let id = passkey_id(app, result.cred_id().as_ref());
    let found = opened(app, player).await?.into_iter().find(|(stored, _)| stored.passkey_id == id);
    let (stored, mut kept) = found.ok_or_else(|| wrong(&WebauthnError::CredentialNotFound))?;
    // The challenge holds the counter of when it was made; the passkey may have been used since.
    match kept.passkey.update_credential(&result) {
        None => return Err(wrong(&WebauthnError::CredentialNotFound)),
        Some(false) if result.counter() > 0 => return Err(cloned(app, player, credential).await?),
        Some(_) => {}
    }
    let sealed = seal(app, player, &kept).await?;
    Ok(Shown::Passkey(PasskeyUse { passkey_id: id, version: stored.version, sealed }))
}

/// The account's passkeys, with their names.
pub(crate) async fn list(app: &App, player: PlayerId) -> Result<Vec<Listed>, Problem> {
    Ok(opened(app, player).await?.into_iter().map(|(stored, kept)| Listed { stored, name: kept.name }).collect())
}

/// Its counter stood still or went back: two devices have the same key, and one of them is not the player's.
async fn cloned(app: &App, player: PlayerId, credential: &PublicKeyCredential) -> Result<Problem, Problem> {
    let id = hex::encode(&passkey_id(app, &credential.raw_id)[..16]);
    tracing::warn!(player_id = %player, passkey = id, "the counter of a passkey stood still: it may have been copied");
    app.store.note_cloned_passkey(player, id, service::clock::unix_ms()).await?;
    let detail = "the counter of this passkey did not go on, as if somebody had a copy: remove it, with another factor";
    Ok(Problem::forbidden("passkey-cloned", detail))
}

async fn opened(app: &App, player: PlayerId) -> Result<Vec<(StoredPasskey, Kept)>, Problem> {
    let stored = app.store.passkeys(player).await?;
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    let key = app.store.account_key(&app.identity.vault, player, service::clock::unix_ms()).await?;
    let open = |one: StoredPasskey| {
        let bytes = key.as_ref().and_then(|key| key.open(SEALED_PASSKEY, &one.sealed).ok());
        let kept = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        kept.map(|kept| (one, kept)).ok_or_else(|| {
            tracing::error!(player_id = %player, "a passkey does not open");
            Problem::internal()
        })
    };
    stored.into_iter().map(open).collect()
}

async fn seal(app: &App, player: PlayerId, kept: &Kept) -> Result<Vec<u8>, Problem> {
    let key = app.store.account_key(&app.identity.vault, player, service::clock::unix_ms()).await?;
    let key = key.ok_or_else(|| Problem::gone("account-erased", "this account was erased"))?;
    Ok(key.seal(SEALED_PASSKEY, &serde_json::to_vec(kept).expect("plain data")))
}

async fn keep<T>(
    app: &App,
    purpose: &'static str,
    player: PlayerId,
    options: T,
    state: &impl Serialize,
) -> Result<Challenge<T>, Problem> {
    let challenge_id = Uuid::from_bytes(service::random::bytes());
    let expires_at_ms = service::clock::unix_ms() + CHALLENGE_LIFE_MS;
    let sealed = app.identity.vault.seal(purpose, &serde_json::to_vec(state).expect("plain data"));
    let proof_id = super::federation::proof_id(challenge_id.as_bytes());
    let purpose = purpose.to_owned();
    app.store.begin_proof(BegunProof { proof_id, purpose, player: Some(player), sealed, expires_at_ms }).await?;
    Ok(Challenge { challenge_id, options, expires_at_ms })
}

/// What is kept of a challenge; nobody gets it again.
async fn take<T: DeserializeOwned>(
    app: &App,
    purpose: &'static str,
    player: PlayerId,
    challenge_id: Uuid,
) -> Result<T, Problem> {
    let proof_id = super::federation::proof_id(challenge_id.as_bytes());
    let gone = || Problem::gone("challenge-gone", "this challenge was answered or has expired: ask for a new one");
    let taken = app.store.take_proof(proof_id, purpose, Some(player), service::clock::unix_ms()).await?;
    let opened = app.identity.vault.open(purpose, &taken.ok_or_else(gone)?).map_err(|_| gone())?;
    serde_json::from_slice(&opened).map_err(|_| gone())
}

/// Where a passkey is found again: what the platform calls it tells nobody who reads the database anything.
fn passkey_id(app: &App, credential_id: &[u8]) -> [u8; 32] {
    app.identity.vault.blind_index("passkey", credential_id).0
}

fn wrong(error: &WebauthnError) -> Problem {
    tracing::debug!(%error, "a passkey is refused");
    let detail =
        "this passkey is none of your account, or its answer does not fit to the challenge, the domain or the origin";
    Problem::forbidden("passkey-wrong", detail)
}

fn internal(error: &WebauthnError) -> Problem {
    tracing::error!(%error, "a challenge for a passkey cannot be made");
    Problem::internal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_belong_to_the_domain_and_apps_have_names() {
        let settings = |origins: &[&str]| PasskeySettings {
            domain: "example.org".into(),
            name: "Arena".into(),
            origins: origins.iter().map(|one| (*one).to_owned()).collect(),
        };
        let built = build(&settings(&["https://play.example.org", "android:apk-key-hash:abc"])).expect("good");
        assert_eq!(built.get_allowed_origins().len(), 2);
        assert_eq!(build(&settings(&[])).map(drop), Err(PasskeyFault::Origins));
        assert_eq!(build(&settings(&["play"])).map(drop), Err(PasskeyFault::Origin("play".into())));
        let eve = build(&settings(&["https://example.org.eve.example"])).map(drop);
        assert_eq!(eve, Err(PasskeyFault::Domain("example.org".into())));
    }
}
