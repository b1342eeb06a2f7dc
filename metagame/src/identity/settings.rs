//! How players prove who they are, as an operator writes it down: one TOML file, every fault named at once. Secrets are in
//! files of their own.

mod federation;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

pub use self::federation::{OidcSettings, PasskeySettings, SteamSettings};
use super::hashing::HashingLimits;
use crate::core::password::Refused;
use crate::core::rotation::Schedule;

/// Longest file with a secret.
const SECRET_BYTES_MAX: usize = 4_096;

/// A secret from a file; wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// The secret itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Reads a file of one line.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|error| format!("cannot read the secret in {}: {error}", path.display()))?;
        let secret = text.trim();
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            return Err(format!("the file {} holds no secret: write it there as one line", path.display()));
        }
        Ok(Self(Zeroizing::new(secret.to_owned())))
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretText")
    }
}

/// Ways to prove to be a player besides a device.
#[derive(Debug, Clone)]
pub struct IdentitySettings {
    /// How mail is sent; without it nobody registers an address.
    pub mail: Option<MailSettings>,
    /// How players log in by Steam; without it they do not.
    pub steam: Option<SteamSettings>,
    /// Identity providers.
    pub oidc: Vec<OidcSettings>,
    /// Passkeys and security keys; without it there are none.
    pub passkeys: Option<PasskeySettings>,
    /// Passwords that are refused besides the built-in ones.
    pub refused: Refused,
    /// Size of the pool that hashes passwords.
    pub hashing: HashingLimits,
    /// How the keys of access tokens take turns.
    pub rotation: Schedule,
    /// How often an instance looks for new keys.
    pub rotation_look: Duration,
}

/// How often an instance looks for new keys of access tokens; far more often than they are published ahead.
const ROTATION_LOOK: Duration = Duration::from_secs(15);

impl IdentitySettings {
    /// What players call the game.
    pub(crate) fn game(&self) -> String {
        let by_passkeys = self.passkeys.as_ref().map(|passkeys| &passkeys.name);
        let name = self.mail.as_ref().map(|mail| &mail.game).or(by_passkeys);
        name.cloned().unwrap_or_else(|| "Muster".to_owned())
    }
}

impl Default for IdentitySettings {
    /// Devices alone.
    fn default() -> Self {
        Self {
            mail: None,
            steam: None,
            oidc: Vec::new(),
            passkeys: None,
            refused: Refused::new([COMMON_PASSWORDS]),
            hashing: HashingLimits::default(),
            rotation: Schedule::default(),
            rotation_look: ROTATION_LOOK,
        }
    }
}

/// How mail is sent.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// From whom: an address, or a name and an address in <>.
    pub from: String,
    /// What players call the game.
    pub game: String,
    /// Where to.
    pub way: MailWay,
}

/// Where mail goes.
#[derive(Debug, Clone)]
pub enum MailWay {
    /// Into files of a folder: for development.
    Folder(PathBuf),
    /// To a mail server.
    Smtp(SmtpSettings),
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// Its name, which its certificate must bear.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// User and password.
    pub login: Option<(String, SecretText)>,
    /// A certificate authority besides the system's.
    pub authority_file: Option<PathBuf>,
}

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// From the first byte, usually port 465.
    #[default]
    Implicit,
    /// By STARTTLS, which must succeed, usually port 587.
    Starttls,
    /// Not at all: for a server on this machine.
    None,
}

/// Every fault of the identity settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the identity settings {path} cannot be used:\n{}", faults.join("\n"))]
pub struct IdentityFaults {
    /// The file.
    pub path: String,
    /// One line per fault, with what to do.
    pub faults: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mail: Option<MailTable>,
    steam: Option<federation::SteamTable>,
    #[serde(default)]
    oidc: Vec<federation::OidcTable>,
    passkeys: Option<federation::PasskeysTable>,
    #[serde(default)]
    passwords: PasswordsTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MailTable {
    from: String,
    game: String,
    folder: Option<PathBuf>,
    server: Option<String>,
    port: Option<u16>,
    #[serde(default)]
    tls: SmtpTls,
    user: Option<String>,
    password_file: Option<PathBuf>,
    authority_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordsTable {
    #[serde(default)]
    refused_files: Vec<PathBuf>,
    threads: Option<usize>,
    queue: Option<usize>,
}

/// The settings in a file; files that it names are as seen from its folder.
///
/// # Errors
/// [`IdentityFaults`], all at once.
pub fn read_identity(path: &Path) -> Result<IdentitySettings, IdentityFaults> {
    let whole = |fault: String| IdentityFaults { path: path.display().to_string(), faults: vec![format!("  {fault}")] };
    let text = std::fs::read_to_string(path).map_err(|error| whole(format!("cannot read it: {error}")))?;
    let file: File = toml::from_str(&text).map_err(|error| whole(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut reader = Reader { folder, faults: Vec::new() };
    let settings = IdentitySettings {
        mail: file.mail.and_then(|table| reader.mail(table)),
        steam: file.steam.and_then(|table| reader.steam(table)),
        oidc: reader.providers(file.oidc),
        passkeys: file.passkeys.and_then(|table| reader.passkeys(table)),
        refused: reader.refused(&file.passwords.refused_files),
        hashing: HashingLimits {
            threads: file.passwords.threads.unwrap_or(HashingLimits::default().threads),
            queue: file.passwords.queue.unwrap_or(HashingLimits::default().queue),
        },
        ..IdentitySettings::default()
    };
    if reader.faults.is_empty() {
        Ok(settings)
    } else {
        Err(IdentityFaults { path: path.display().to_string(), faults: reader.faults })
    }
}

/// Turns tables into settings and notes what is wrong with them.
struct Reader<'a> {
    folder: &'a Path,
    faults: Vec<String>,
}

impl Reader<'_> {
    fn fault(&mut self, table: &str, what: &str) {
        self.faults.push(format!("  [{table}]: {what}"));
    }

    fn secret(&mut self, table: &str, path: &Path) -> Option<SecretText> {
        let read = SecretText::read(&self.folder.join(path));
        read.map_err(|fault| self.fault(table, &fault)).ok()
    }

    fn mail(&mut self, table: MailTable) -> Option<MailSettings> {
        if table.from.parse::<lettre::message::Mailbox>().is_err() {
            self.fault("mail", "from must be an address, or a name and an address in <>");
        }
        if table.game.trim().is_empty() {
            self.fault("mail", "game must say what players call the game");
        }
        let login = match (table.user, &table.password_file) {
            (Some(user), Some(file)) => self.secret("mail", file).map(|password| (user, password)),
            (None, None) => None,
            _ => {
                self.fault("mail", "user and password_file belong together");
                None
            }
        };
        let way = match (table.folder, table.server) {
            (Some(folder), None) => MailWay::Folder(self.folder.join(folder)),
            (None, Some(server)) => {
                if table.tls == SmtpTls::None && login.is_some() {
                    self.fault(
                        "mail",
                        "without tls the password would be sent in the clear: set tls, or leave user out",
                    );
                }
                let usual = match table.tls {
                    SmtpTls::Implicit => 465,
                    SmtpTls::Starttls => 587,
                    SmtpTls::None => 25,
                };
                let authority_file = table.authority_file.map(|file| self.folder.join(file));
                let port = table.port.unwrap_or(usual);
                MailWay::Smtp(SmtpSettings { server, port, tls: table.tls, login, authority_file })
            }
            _ => {
                self.fault("mail", "set either server, or folder for development");
                return None;
            }
        };
        Some(MailSettings { from: table.from, game: table.game, way })
    }

    fn refused(&mut self, files: &[PathBuf]) -> Refused {
        let mut lists = vec![COMMON_PASSWORDS.to_owned()];
        for file in files {
            let path = self.folder.join(file);
            match std::fs::read(&path) {
                // Lists of breached passwords hold whatever was typed.
                Ok(bytes) => lists.push(String::from_utf8_lossy(&bytes).into_owned()),
                Err(error) => self.fault("passwords", &format!("cannot read {}: {error}", path.display())),
            }
        }
        Refused::new(lists.iter().map(String::as_str))
    }
}

/// Used where the settings name no list: some of the most common ones of eight characters and more.
const COMMON_PASSWORDS: &str = include_str!("common_passwords.txt");

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<IdentitySettings, IdentityFaults> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("secret"), "hush\n").expect("write");
        std::fs::write(folder.path().join("list"), "tenacious\n").expect("write");
        let path = folder.path().join("identity.toml");
        std::fs::write(&path, text).expect("write");
        read_identity(&path)
    }

    #[test]
    fn a_whole_file_is_read_and_its_secrets_are_not_shown() {
        let settings = read(
            "[mail]\nfrom = \"Arena <no-reply@example.org>\"\ngame = \"Arena\"\nserver = \"mail.example.org\"\n\
             user = \"arena\"\npassword_file = \"secret\"\n[passwords]\nrefused_files = [\"list\"]\nthreads = 1\n",
        )
        .expect("good");
        let Some(MailSettings { way: MailWay::Smtp(smtp), .. }) = &settings.mail else { panic!("{settings:?}") };
        assert_eq!((smtp.port, smtp.tls, settings.hashing.threads), (465, SmtpTls::Implicit, 1));
        assert!(smtp.login.as_ref().is_some_and(|(_, password)| password.expose() == "hush"));
        assert!(!format!("{settings:?}").contains("hush"));
        assert!(settings.refused.len() > 50);
    }

    #[test]
    fn those_who_vouch_are_read_and_their_secrets_are_not_shown() {
        let settings = read(
            "[steam]\napp_id = 480\npublisher_key_file = \"secret\"\nrefuse_vac_banned = true\n\
             [[oidc]]\nname = \"studio\"\nissuer = \"https://id.example\"\nclient_id = \"game\"\n\
             client_secret_file = \"secret\"\nscopes = [\"openid\", \"email\"]\nalgorithms = [\"ES256\"]\n\
             [passkeys]\ndomain = \"example.org\"\nname = \"Arena\"\norigins = [\"https://play.example.org\"]\n",
        )
        .expect("good");
        let steam = settings.steam.as_ref().expect("steam");
        assert_eq!((steam.address.host(), steam.identity.as_str()), (Some("partner.steam-api.com"), "muster"));
        assert!(steam.rules.refuse_vac_banned && steam.rules.refuse_publisher_banned && !steam.rules.refuse_borrowed);
        assert_eq!((settings.oidc[0].name.as_str(), settings.oidc[0].algorithms.len()), ("studio", 1));
        assert!(settings.passkeys.is_some());
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn every_fault_of_those_who_vouch_is_named_at_once() {
        let faults = read(
            "[steam]\napp_id = 480\npublisher_key_file = \"gone\"\naddress = \"nowhere\"\n\
             [[oidc]]\nname = \"steam\"\nissuer = \"x y\"\nclient_id = \"\"\nscopes = []\nalgorithms = [\"none\"]\n\
             redirect_uris = [\"back\"]\n[[oidc]]\nname = \"steam\"\nissuer = \"https://a\"\nclient_id = \"b\"\n\
             [passkeys]\ndomain = \"example.org\"\nname = \"Arena\"\norigins = [\"https://eve.example\"]\n",
        );
        let text = faults.expect_err("faults").to_string();
        let parts = ["gone", "address must", "a name has", "issuer must", "client_id must", "\"openid\"", "\"none\""];
        for part in parts.into_iter().chain(["redirect_uris must", "two providers", "[passkeys]"]) {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faults = read(
            "[mail]\nfrom = \"nobody\"\ngame = \"\"\nserver = \"x\"\nfolder = \"y\"\nuser = \"z\"\n\
             [passwords]\nrefused_files = [\"gone\"]\n",
        );
        let text = faults.expect_err("faults").to_string();
        for part in ["from must be", "game must", "either server, or folder", "belong together", "gone"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(read("[mial]\n").expect_err("no such table").to_string().contains("mial"));
    }
}
