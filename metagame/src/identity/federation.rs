//! Logins for which others vouch: what those by Steam and by identity providers have in common.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use protocol::id::PlayerId;
use sha2::{Digest as _, Sha256};

use super::oidc::Provider;
use super::settings::IdentitySettings;
use super::steam::Steam;
use super::{Identity, too_many};
use crate::app::App;
use crate::core::guard::network;
use crate::core::name::PlayerName;
use crate::outgoing::{AddressFault, Outgoing};
use crate::problem::Problem;
use crate::store::{FederatedLink, FederatedLogin, NewLink, NewMail, NewSession, Store, UsedProof};
use crate::vault::BlindIndex;

/// Provider of identities that are Steam accounts.
pub(crate) const STEAM: &str = "steam";
/// Purpose of what an owner calls an identity, sealed under the account's key.
pub(crate) const SEALED_NAME: &str = "identity name";
/// Proofs from one network that may be refused in 10 to 15 minutes, and from one device.
const NETWORK_FAILURES_MAX: u64 = 200;
const DEVICE_FAILURES_MAX: u64 = 20;
/// Proofs that may be begun because of one network in that time.
const NETWORK_BEGUN_MAX: u64 = 2_000;
/// Logins to one account in that time, and from one device, to whichever accounts: a café's computer has many players.
const ACCOUNT_LOGINS_MAX: u64 = 60;
const DEVICE_LOGINS_MAX: u64 = 120;

/// Those who vouch.
#[derive(Debug, Default)]
pub(crate) struct Vouchers {
    steam: Option<Steam>,
    providers: BTreeMap<String, Arc<Provider>>,
}

/// Why somebody who vouches cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("the address of {name} in the identity settings: {fault}")]
pub struct VoucherError {
    name: String,
    fault: AddressFault,
}

/// Somebody for whom another system vouches.
pub(crate) struct Vouched {
    /// Who vouches.
    pub(crate) provider: String,
    /// Whom it names.
    pub(crate) subject: BlindIndex,
    /// What the owner calls it.
    pub(crate) name: Option<String>,
    /// The proof, where it could be shown twice.
    pub(crate) used: Option<UsedProof>,
}

impl Vouchers {
    pub(crate) fn new(settings: &IdentitySettings, outgoing: &Outgoing) -> Result<Self, VoucherError> {
        let fault = |name: &str| {
            let name = name.to_owned();
            move |fault| VoucherError { name, fault }
        };
        let steam =
            settings.steam.clone().map(|steam| Steam::new(steam, outgoing).map_err(fault(STEAM))).transpose()?;
        let mut providers = BTreeMap::new();
        for one in &settings.oidc {
            let provider = Provider::new(one.clone(), outgoing).map_err(fault(&one.name))?;
            providers.insert(one.name.clone(), Arc::new(provider));
        }
        Ok(Self { steam, providers })
    }

    /// The way to Steam.
    pub(crate) fn steam(&self) -> Result<&Steam, Problem> {
        let detail = "nobody logs in by Steam here: name a [steam] section in the identity settings";
        self.steam.as_ref().ok_or_else(|| Problem::not_found("steam-not-configured", detail))
    }

    /// A provider by its name.
    pub(crate) fn provider(&self, name: &str) -> Result<&Arc<Provider>, Problem> {
        let detail = "the identity settings name no provider of this name";
        self.providers.get(name).ok_or_else(|| Problem::not_found("unknown-provider", detail))
    }
}

/// Names a proof that is begun, by the secret that its beginner got.
pub(crate) fn proof_id(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// From where a proof comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) peer: IpAddr,
    /// What tells the device from others, where the client says it. One that says nothing counts as its network.
    pub(crate) device: Option<&'a str>,
}

impl Identity {
    /// Refuses proofs from a network or device of which too many were refused.
    pub(crate) async fn allow_proof(&self, store: &Store, source: Source<'_>) -> Result<(), Problem> {
        let now_ms = service::clock::unix_ms();
        for (tally, most) in self.proof_failures(source) {
            if store.tallied(tally, now_ms).await? >= most {
                return Err(too_many("proofs"));
            }
        }
        Ok(())
    }

    /// Counts a proof that was refused: one that is wrong, not one that nobody could check.
    pub(crate) async fn count_refusal(
        &self,
        store: &Store,
        source: Source<'_>,
        problem: &Problem,
    ) -> Result<(), Problem> {
        if problem.is_unauthenticated() {
            for (tally, _) in self.proof_failures(source) {
                store.tally_within(tally, u64::MAX, service::clock::unix_ms()).await?;
            }
        }
        Ok(())
    }

    /// Counts a proof that is begun.
    pub(crate) async fn allow_begin(&self, store: &Store, peer: IpAddr) -> Result<(), Problem> {
        let tally = self.vault.blind_index("proofs begun of network", &network(peer));
        let allowed = store.tally_within(tally, NETWORK_BEGUN_MAX, service::clock::unix_ms()).await?;
        if allowed { Ok(()) } else { Err(too_many("proofs")) }
    }

    /// What a refused proof counts against, and how many each bears.
    fn proof_failures(&self, source: Source<'_>) -> impl Iterator<Item = (BlindIndex, u64)> + use<> {
        let network = self.vault.blind_index("proof failures of network", &network(source.peer));
        let device = source.device.map(|one| self.vault.blind_index("proof failures of device", one.as_bytes()));
        [(network, NETWORK_FAILURES_MAX)].into_iter().chain(device.map(|device| (device, DEVICE_FAILURES_MAX)))
    }

    /// Where an account elsewhere is found again.
    pub(crate) fn subject(&self, issuer: &str, subject: &str) -> BlindIndex {
        let length = (issuer.len() as u64).to_le_bytes();
        self.vault.blind_index("subject", &[&length[..], issuer.as_bytes(), subject.as_bytes()].concat())
    }
}

/// What the store needs to log somebody in. Counts against the account and the device.
pub(crate) async fn login(
    app: &App,
    vouched: Vouched,
    name: Option<PlayerName>,
    source: Source<'_>,
    session: NewSession,
) -> Result<FederatedLogin, Problem> {
    let vault = &app.identity.vault;
    let account = vault.blind_index("logins of account", &vouched.subject.0);
    let device = source.device.map(|device| vault.blind_index("logins of device", device.as_bytes()));
    let counted = [(account, ACCOUNT_LOGINS_MAX)].into_iter().chain(device.map(|device| (device, DEVICE_LOGINS_MAX)));
    for (tally, most) in counted {
        if !app.store.tally_within(tally, most, session.now_ms).await? {
            return Err(too_many("logins"));
        }
    }
    let new_player = PlayerId::from_time(session.now_ms, service::random::bytes());
    let (key, wrapped) = vault.new_account_key(new_player);
    let keys = app.identity.guard_keys(vouched.subject, source.peer, source.device);
    Ok(FederatedLogin {
        provider: vouched.provider,
        subject: vouched.subject,
        sealed: vouched.name.map(|name| key.seal(SEALED_NAME, name.as_bytes())),
        used: vouched.used,
        new_player,
        name,
        key: wrapped,
        vault: vault.name().to_owned(),
        marks: keys.device.into_iter().chain([keys.place]).collect(),
        session,
    })
}

/// What the store needs to link somebody to an account.
pub(crate) async fn link(
    app: &App,
    vouched: Vouched,
    player: PlayerId,
    mail: Option<NewMail>,
    now_ms: u64,
) -> Result<FederatedLink, Problem> {
    let key = app.store.account_key(&app.identity.vault, player, now_ms).await?;
    let key = key.ok_or_else(|| Problem::gone("account-erased", "this account was erased"))?;
    let link = NewLink {
        player,
        provider: vouched.provider,
        subject: vouched.subject.0.to_vec(),
        sealed: vouched.name.map(|name| key.seal(SEALED_NAME, name.as_bytes())),
        mail,
        now_ms,
    };
    Ok(FederatedLink { link, used: vouched.used })
}
