//! How players prove who they are: what the handlers of logins share.

pub(crate) mod hashing;
pub(crate) mod postman;
pub(crate) mod settings;

use std::sync::Arc;

use self::hashing::Hashing;
use self::postman::{MailError, Postman};
use self::settings::IdentitySettings;
use crate::core::code::Code;
use crate::core::password::Refused;
use crate::problem::Problem;
use crate::store::{CodeId, Store};
use crate::vault::Vault;

/// Why identity does not start.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Mail cannot be sent.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// No threads.
    #[error("cannot start the threads that hash passwords: {0}")]
    Hashing(std::io::Error),
}

/// What logins need besides the store.
pub(crate) struct Identity {
    pub(crate) vault: Arc<Vault>,
    pub(crate) hashing: Hashing,
    pub(crate) refused: Refused,
    postman: Option<Arc<Postman>>,
}

impl Identity {
    pub(crate) fn start(settings: &IdentitySettings, vault: Arc<Vault>, store: &Store) -> Result<Self, IdentityError> {
        let postman = settings.mail.as_ref().map(|mail| Postman::new(mail, Arc::clone(&vault), store.clone()));
        Ok(Self {
            hashing: Hashing::start(settings.hashing).map_err(IdentityError::Hashing)?,
            refused: settings.refused.clone(),
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
}
