//! How players prove who they are: what the handlers of logins share.

pub(crate) mod admin;
pub(crate) mod factors;
pub(crate) mod federation;
pub(crate) mod hashing;
pub(crate) mod keyring;
pub(crate) mod oidc;
pub(crate) mod passkeys;
pub(crate) mod postman;
pub(crate) mod revoked;
pub(crate) mod settings;
pub(crate) mod steam;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use protocol::id::PlayerId;
use tokio::sync::Semaphore;
use webauthn_rs::Webauthn;

use self::federation::{VoucherError, Vouchers};
use self::hashing::Hashing;
use self::postman::{MailError, Postman};
use self::revoked::Revoked;
use self::settings::IdentitySettings;
use crate::core::code::Code;
use crate::core::guard::network;
use crate::core::password::Refused;
use crate::metrics;
use crate::outgoing::Outgoing;
use crate::problem::Problem;
use crate::store::{CodeId, GuardKeys, Store};
use crate::vault::{BlindIndex, Vault};

/// Why identity does not start.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Mail cannot be sent.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// Somebody who vouches cannot be asked.
    #[error(transparent)]
    Voucher(#[from] VoucherError),
    /// Passkeys cannot be checked.
    #[error("the section [passkeys] of the identity settings: {0}")]
    Passkeys(String),
    /// No threads.
    #[error("cannot start the threads that hash passwords: {0}")]
    Hashing(std::io::Error),
}

/// What logins need besides the store.
pub(crate) struct Identity {
    pub(crate) vault: Arc<Vault>,
    pub(crate) hashing: Hashing,
    pub(crate) refused: Refused,
    game: String,
    pub(crate) revoked: Arc<Revoked>,
    /// Those who vouch for players.
    pub(crate) vouchers: Vouchers,
    /// What checks passkeys, where they are taken.
    pub(crate) passkeys: Option<Webauthn>,
    postman: Option<Arc<Postman>>,
    /// Logins that are answered late.
    waiting: Semaphore,
}

/// Logins that may be answered late at once; more are refused.
const WAITING_MAX: usize = 128;
/// Codes that are sent to one address, and because of one network, in 10 to 15 minutes.
const CODES_MAX: u64 = 5;
const NETWORK_CODES_MAX: u64 = 60;
/// Second factors that one account may try in that time.
const FACTORS_MAX: u64 = 10;
/// When whoever was refused may come back.
const BACK_S: u64 = 600;

impl Identity {
    pub(crate) fn start(
        settings: &IdentitySettings,
        vault: Arc<Vault>,
        store: &Store,
        outgoing: &Outgoing,
    ) -> Result<Self, IdentityError> {
        let passkeys = settings.passkeys.as_ref().map(passkeys::build).transpose();
        let postman = settings.mail.as_ref().map(|mail| Postman::new(mail, Arc::clone(&vault), store.clone()));
        Ok(Self {
            hashing: Hashing::start(settings.hashing).map_err(IdentityError::Hashing)?,
            refused: settings.refused.clone(),
            waiting: Semaphore::new(WAITING_MAX),
            game: settings.game(),
            vouchers: Vouchers::new(settings, outgoing)?,
            passkeys: passkeys.map_err(|fault| IdentityError::Passkeys(fault.to_string()))?,
            revoked: Arc::default(),
            postman: postman.transpose()?.map(Arc::new),
            vault,
        })
    }

    /// Who sends mail.
    pub(crate) fn postman(&self) -> Result<&Arc<Postman>, Problem> {
        let detail = "this installation sends no mail, so that nobody can register an address: name a [mail] section in \
                      its identity settings";
        self.postman.as_ref().ok_or_else(|| Problem::not_found("mail-not-configured", detail))
    }

    /// The task that sends mail, if any is sent.
    pub(crate) fn postman_task(&self) -> Option<Arc<Postman>> {
        self.postman.clone()
    }

    /// What is kept of a code: worth nothing to whoever reads the database, although codes are short.
    pub(crate) fn code_hash(&self, code_id: &CodeId, code: &Code) -> [u8; 32] {
        self.vault.blind_index("code", &[code_id, code.digits().as_bytes()].concat()).0
    }

    /// What players call the game.
    pub(crate) fn game(&self) -> &str {
        &self.game
    }

    /// What a login counts against: the account of this address or name, and the network it comes from.
    pub(crate) fn guard_keys(&self, account: BlindIndex, peer: IpAddr, device: Option<&str>) -> GuardKeys {
        let network = network(peer);
        GuardKeys {
            account: self.vault.blind_index("failures of account", &account.0),
            network: self.vault.blind_index("failures of network", &network),
            failures: self.vault.blind_index("failures", &[]),
            successes: self.vault.blind_index("successes", &[]),
            place: self.vault.blind_index("place", &network),
            device: device.map(|device| self.vault.blind_index("device", device.as_bytes())),
        }
    }

    /// Waits, where a login looks like guessing, if not too many wait already.
    pub(crate) async fn delay(&self, ms: u64) -> Result<(), Problem> {
        let Ok(_place) = self.waiting.try_acquire() else { return Err(too_many("guessing")) };
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(())
    }

    /// Counts a code against the address to which it is sent and the network that asks for it.
    pub(crate) async fn allow_code(&self, store: &Store, email: BlindIndex, peer: IpAddr) -> Result<(), Problem> {
        let now_ms = service::clock::unix_ms();
        let network = self.vault.blind_index("codes of network", &network(peer));
        let email = self.vault.blind_index("codes of address", &email.0);
        let allowed = store.tally_within(network, NETWORK_CODES_MAX, now_ms).await?
            && store.tally_within(email, CODES_MAX, now_ms).await?;
        if allowed { Ok(()) } else { Err(too_many("codes")) }
    }

    /// Counts a second factor that is tried.
    pub(crate) async fn allow_factor(&self, store: &Store, player: PlayerId) -> Result<(), Problem> {
        let tally = self.vault.blind_index("factors of account", &player.to_bytes());
        let allowed = store.tally_within(tally, FACTORS_MAX, service::clock::unix_ms()).await?;
        if allowed { Ok(()) } else { Err(too_many("factors")) }
    }
}

/// Refuses what looks like guessing.
pub(crate) fn too_many(limit: &'static str) -> Problem {
    metrics::limited(limit);
    let detail = "this was tried too often; come back later";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests", detail).retry_after(BACK_S)
}
