//! Stripe's keys and addresses: one TOML file, secrets in files of their own, every fault named at once.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Uri;
use serde::Deserialize;

use crate::core::payment::signature::SigningSecret;
use crate::identity::settings::SecretText;

/// What stands for the order's id in an address to which players come back.
pub(crate) const ORDER: &str = "{ORDER}";
/// Most secrets of the webhook that are live at once.
const SECRETS_MAX: usize = 3;
/// How long players have to pay, in minutes: Stripe takes 30 to 1,440, and a session may have to be asked for twice.
const MINUTES: std::ops::RangeInclusive<u64> = 40..=1_440;

/// What it takes to be paid by Stripe.
#[derive(Debug, Clone)]
pub struct StripeSettings {
    /// Where it is.
    pub address: Uri,
    /// The secret key, `sk_…`, or a restricted one, `rk_…`, that may write checkout sessions and read events.
    pub key: SecretText,
    /// Secrets of the webhook, `whsec_…`.
    pub secrets: Vec<SigningSecret>,
    /// Where players come back to after they paid; `{ORDER}` becomes the order's id.
    pub success_url: String,
    /// Where they come back to if they did not.
    pub cancel_url: String,
    /// How long they have to pay.
    pub session_life: Duration,
    /// Whether it is about real money, by the key.
    pub is_live: bool,
    /// How often orders are looked for of which nothing was heard.
    pub look_every: Duration,
    /// How often the list of events is read for those that no webhook told of.
    pub list_every: Duration,
}

/// Every fault of the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Stripe cannot be used:\n{}", faults.join("\n"))]
pub struct StripeFaults {
    /// One line per fault, with what to do.
    pub faults: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    key_file: PathBuf,
    webhook_secret_files: Vec<PathBuf>,
    success_url: String,
    cancel_url: String,
    #[serde(default = "an_hour")]
    session_minutes: u64,
    #[serde(default = "stripe_itself")]
    address: String,
}

fn an_hour() -> u64 {
    60
}

fn stripe_itself() -> String {
    "https://api.stripe.com".to_owned()
}

/// Reads a settings file; files of secrets are named as seen from its folder.
///
/// # Errors
/// [`StripeFaults`], all at once.
pub fn read_stripe(path: &Path) -> Result<StripeSettings, StripeFaults> {
    let one = |fault: String| StripeFaults { faults: vec![format!("  {}: {fault}", path.display())] };
    let text = std::fs::read_to_string(path).map_err(|error| one(format!("cannot read it: {error}")))?;
    let file: File = toml::from_str(&text).map_err(|error| one(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut faults = Vec::new();
    let mut note = |fault: String| faults.push(format!("  {fault}"));
    let key = secret(&folder.join(&file.key_file), &["sk_", "rk_"]).map_err(&mut note).ok();
    if file.webhook_secret_files.is_empty() || file.webhook_secret_files.len() > SECRETS_MAX {
        note(format!("webhook_secret_files: 1 to {SECRETS_MAX} files with the secret of the webhook are right"));
    }
    let secrets: Vec<SigningSecret> = file
        .webhook_secret_files
        .iter()
        .filter_map(|name| secret(&folder.join(name), &["whsec_"]).map_err(&mut note).ok())
        .map(|text| SigningSecret::new(text.expose()))
        .collect();
    if !MINUTES.contains(&file.session_minutes) {
        note(format!("session_minutes is {} to {}", MINUTES.start(), MINUTES.end()));
    }
    for (name, url) in [("success_url", &file.success_url), ("cancel_url", &file.cancel_url)] {
        if !url.starts_with("https://") && !url.contains("://") {
            note(format!(
                "{name} is an address to which players come back, such as https://game.example/paid?order={ORDER}"
            ));
        }
    }
    let address = address(&file.address).map_err(&mut note).ok();
    match (key, address) {
        (Some(key), Some(address)) if faults.is_empty() => Ok(StripeSettings {
            address,
            is_live: key.expose().contains("_live_"),
            key,
            secrets,
            success_url: file.success_url,
            cancel_url: file.cancel_url,
            session_life: Duration::from_secs(file.session_minutes * 60),
            look_every: Duration::from_secs(30),
            list_every: Duration::from_secs(10 * 60),
        }),
        _ => Err(StripeFaults { faults }),
    }
}

fn address(text: &str) -> Result<Uri, String> {
    let fault = || "address is https://host, without anything behind".to_owned();
    let address: Uri = text.parse().map_err(|_| fault())?;
    let good = matches!(address.scheme_str(), Some("https" | "http")) && matches!(address.path(), "" | "/");
    if good && address.query().is_none() && address.host().is_some_and(|host| !host.is_empty()) {
        Ok(address)
    } else {
        Err(fault())
    }
}

/// A secret that only its owner may read; what is in it is not repeated.
fn secret(path: &Path, prefixes: &[&str]) -> Result<SecretText, String> {
    let shown = path.display();
    let meta = std::fs::metadata(path).map_err(|error| format!("cannot read the secret in {shown}: {error}"))?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "the file {shown} is readable by others (mode {mode:03o}): run `chmod 600 {shown}`, and roll the key at Stripe if \
             others may have seen it"
        ));
    }
    let secret = SecretText::read(path)?;
    let is_plain = secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain || !prefixes.iter().any(|prefix| secret.expose().starts_with(prefix)) {
        return Err(format!("the file {shown} holds nothing that begins with {}", prefixes.join(" or ")));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str, mode: u32) {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn a_file_of_settings_is_read_and_shows_no_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "key", "sk_test_hush\n", 0o600);
        write(folder.path(), "new", "whsec_hush\n", 0o600);
        write(folder.path(), "old", "whsec_hush2\n", 0o600);
        let text = "key_file = \"key\"\nwebhook_secret_files = [\"new\", \"old\"]\nsuccess_url = \"https://game.example/{ORDER}\"\n\
                    cancel_url = \"https://game.example\"\n";
        write(folder.path(), "stripe.toml", text, 0o644);
        let settings = read_stripe(&folder.path().join("stripe.toml")).expect("good settings");
        assert_eq!((settings.is_live, settings.secrets.len()), (false, 2));
        assert_eq!(settings.address.to_string(), "https://api.stripe.com/");
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn every_fault_is_named_at_once_and_no_secret_is_repeated() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "key", "hush\n", 0o600);
        write(folder.path(), "open", "whsec_hush\n", 0o644);
        let text = "key_file = \"key\"\nwebhook_secret_files = [\"open\", \"missing\"]\nsuccess_url = \"nowhere\"\n\
                    cancel_url = \"https://game.example\"\nsession_minutes = 5\naddress = \"ftp://x\"\n";
        write(folder.path(), "stripe.toml", text, 0o644);
        let told = read_stripe(&folder.path().join("stripe.toml")).expect_err("faults").to_string();
        for part in ["sk_ or rk_", "chmod 600", "missing", "success_url", "40 to 1440", "address is https"] {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
        assert!(!told.contains("hush"), "{told}");
    }
}
