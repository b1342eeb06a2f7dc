//! Sends the mail that waits in the database: by SMTP, or into a folder while one develops.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use service::Shutdown;
use tokio::sync::Notify;

use super::settings::{MailSettings, MailWay, SmtpSettings, SmtpTls};
use crate::core::code::CODE_LIFE_MS;
use crate::core::letter::{Letter, News};
use crate::metrics;
use crate::store::{DueMail, NewMail, Store};
use crate::vault::Vault;
use protocol::id::PlayerId;

/// Purpose of what is sealed.
const PURPOSE: &str = "mail";
/// How often it looks for mail of other instances, and of tries that failed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Mails of one look.
const AT_ONCE: u32 = 16;
/// How long one delivery may take.
const DELIVERY: Duration = Duration::from_secs(20);
/// Pause after the first failure; it doubles.
const PAUSE_MS: u64 = 5_000;
const PAUSE_MS_MAX: u64 = 5 * 60_000;

/// Why mail cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The sender's address.
    #[error("mail cannot be sent from {0:?}: write an address, or a name and an address in <>")]
    From(String),
    /// The folder of a development's mail.
    #[error("cannot use {path} for mail: {error}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The server's certificate could not be checked.
    #[error("cannot set up TLS for the mail server {0}: {1}")]
    Tls(String, lettre::transport::smtp::Error),
    /// The certificate authority of the settings.
    #[error("cannot read the mail server's certificate authority {path}: {reason}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

enum Way {
    Folder(PathBuf),
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
}

/// Takes letters and sends them.
pub(crate) struct Postman {
    way: Way,
    from: Mailbox,
    game: String,
    vault: Arc<Vault>,
    store: Store,
    waiting: Notify,
}

impl Postman {
    pub(crate) fn new(settings: &MailSettings, vault: Arc<Vault>, store: Store) -> Result<Self, MailError> {
        let from = settings.from.parse().map_err(|_| MailError::From(settings.from.clone()))?;
        let way = match &settings.way {
            MailWay::Folder(path) => {
                std::fs::create_dir_all(path).map_err(|error| MailError::Folder { path: path.clone(), error })?;
                Way::Folder(path.clone())
            }
            MailWay::Smtp(smtp) => Way::Smtp(Box::new(transport(smtp)?)),
        };
        Ok(Self { way, from, game: settings.game.clone(), vault, store, waiting: Notify::new() })
    }

    /// A mail as it waits in the database.
    pub(crate) fn letter(&self, player: Option<PlayerId>, to: Option<&str>, news: News, now_ms: u64) -> NewMail {
        let letter = Letter { to: to.map(str::to_owned), news };
        let plain = serde_json::to_vec(&letter).expect("plain data");
        let sealed = self.vault.seal(PURPOSE, &plain);
        let expires_at_ms = now_ms + CODE_LIFE_MS;
        NewMail { mail_id: service::random::bytes(), player, sealed, now_ms, expires_at_ms }
    }

    /// There is mail in the database.
    pub(crate) fn call(&self) {
        self.waiting.notify_one();
    }

    /// Sends what is due until shutdown.
    pub(crate) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            match self.store.claim_mails(service::clock::unix_ms(), AT_ONCE).await {
                Ok(due) if due.is_empty() => {}
                Ok(due) => {
                    for mail in due {
                        self.deliver(mail).await;
                    }
                    if !shutdown.is_triggered() {
                        continue;
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot look for mail; trying again"),
            }
            tokio::select! {
                () = shutdown.wait() => return,
                () = self.waiting.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn deliver(&self, mail: DueMail) {
        let settled = match self.try_deliver(&mail).await {
            Ok(outcome) => {
                metrics::mail(outcome);
                self.store.forget_mail(mail.mail_id).await
            }
            Err(reason) => {
                metrics::mail("failed");
                // Servers repeat the address in what they say, so the reason is not logged in whole.
                tracing::warn!(tries = mail.tries, reason, "a mail could not be sent; trying again");
                let pause = (PAUSE_MS << mail.tries.saturating_sub(1).min(10)).min(PAUSE_MS_MAX);
                self.store.postpone_mail(mail.mail_id, service::clock::unix_ms() + pause).await
            }
        };
        if let Err(error) = settled {
            tracing::warn!(%error, "what became of a mail could not be noted; it may be sent twice");
        }
    }

    async fn try_deliver(&self, mail: &DueMail) -> Result<&'static str, String> {
        let plain = self.vault.open(PURPOSE, &mail.sealed).map_err(|error| error.to_string())?;
        let letter: Letter = serde_json::from_slice(&plain).map_err(|_| "it cannot be read".to_owned())?;
        let Some(to) = &letter.to else { return Ok("nobody") };
        let (subject, text) = letter.text(&self.game);
        let message = Message::builder()
            .from(self.from.clone())
            .to(to.parse().map_err(|_| "its address is none".to_owned())?)
            .date(SystemTime::now())
            .message_id(Some(format!("<{}@muster>", hex::encode(mail.mail_id))))
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|_| "it cannot be written".to_owned())?;
        match &self.way {
            Way::Folder(folder) => {
                let name = format!("{:013}-{}.eml", service::clock::unix_ms(), hex::encode(&mail.mail_id[..4]));
                put(folder, &name, message.formatted()).await.map_err(|error| error.to_string())?;
            }
            Way::Smtp(smtp) => {
                let sent = tokio::time::timeout(DELIVERY, smtp.send(message)).await;
                let sent = sent.map_err(|_| "the mail server takes too long".to_owned())?;
                sent.map_err(|error| format!("the mail server refused or broke off: {}", kind(&error)))?;
            }
        }
        Ok("sent")
    }
}

/// What happened, without the server's own words: they repeat addresses.
fn kind(error: &lettre::transport::smtp::Error) -> String {
    match error.status() {
        Some(code) => format!("answer {code}"),
        None if error.is_timeout() => "timed out".to_owned(),
        None if error.is_tls() => "TLS failed".to_owned(),
        None if error.is_client() => "it does not speak as expected".to_owned(),
        None => "no connection".to_owned(),
    }
}

/// The file appears whole or not at all.
async fn put(folder: &Path, name: &str, bytes: Vec<u8>) -> std::io::Result<()> {
    let temporary = folder.join(format!(".{name}"));
    tokio::fs::write(&temporary, bytes).await?;
    tokio::fs::rename(&temporary, folder.join(name)).await
}

fn transport(settings: &SmtpSettings) -> Result<AsyncSmtpTransport<Tokio1Executor>, MailError> {
    let server = &settings.server;
    let parameters = || {
        let mut builder = TlsParameters::builder(server.clone());
        if let Some(path) = &settings.authority_file {
            let fault = |reason: String| MailError::Authority { path: path.clone(), reason };
            let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
            let authority = Certificate::from_pem(&pem).map_err(|error| fault(error.to_string()))?;
            builder = builder.add_root_certificate(authority);
        }
        builder.build().map_err(|error| MailError::Tls(server.clone(), error))
    };
    let tls = match settings.tls {
        SmtpTls::Implicit => Tls::Wrapper(parameters()?),
        SmtpTls::Starttls => Tls::Required(parameters()?),
        SmtpTls::None => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server)
        .port(settings.port)
        .tls(tls)
        .timeout(Some(DELIVERY));
    if let Some((user, password)) = &settings.login {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}
