//! Which endpoints there are: read from flags or a file, every fault named at once.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::http::Uri;
use serde::Deserialize;

use crate::core::event::EventType;
use crate::core::match_event::EventKind;
use crate::core::webhook::Secret;
use crate::outgoing::origin;

/// Most endpoints.
const ENDPOINTS_MAX: usize = 16;
/// Most secrets of one endpoint that are live at once: the new one and the old one.
const SECRETS_MAX: usize = 2;
/// Longest name of an endpoint; names are labels of metrics.
const NAME_BYTES_MAX: usize = 32;
/// Longest secret file that is read.
const SECRET_FILE_BYTES_MAX: u64 = 4_096;

/// An endpoint as an operator writes it down.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointSettings {
    /// What operators call it; what it has not been told of is kept under this name.
    pub name: String,
    /// Where it is, `https://…` or `http://…`.
    pub url: String,
    /// One or two files with a secret each; deliveries are signed with all of them.
    pub secret_files: Vec<PathBuf>,
    /// What it is told of; empty: everything of matches.
    #[serde(default)]
    pub events: Vec<String>,
}

/// An endpoint that can be told.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub(crate) name: String,
    pub(crate) url: Uri,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) events: BTreeSet<EventKind>,
    /// What it is told of besides matches.
    pub(crate) others: BTreeSet<EventType>,
}

impl Endpoint {
    /// Scheme, host and port: what may be shown. Paths and queries of webhooks often are secrets.
    pub fn origin(&self) -> String {
        origin(&self.url)
    }
}

/// Every fault of the webhooks' settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the webhooks cannot be used:\n{}", faults.join("\n"))]
pub struct WebhookFaults {
    /// One line per fault, with what to do.
    pub faults: Vec<String>,
}

/// The endpoints in a TOML file of `[[endpoint]]` tables; secret files are named as seen from the file's folder.
///
/// # Errors
/// [`WebhookFaults`] if it is no such file.
pub fn read_endpoints(path: &Path) -> Result<Vec<EndpointSettings>, WebhookFaults> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        endpoint: Vec<EndpointSettings>,
    }
    let fault = |what: String| WebhookFaults { faults: vec![format!("  {}: {what}", path.display())] };
    let text = std::fs::read_to_string(path).map_err(|error| fault(format!("cannot read it: {error}")))?;
    let file: File = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
    if file.endpoint.is_empty() {
        return Err(fault("it has no [[endpoint]]".to_owned()));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut endpoints = file.endpoint;
    for file in endpoints.iter_mut().flat_map(|endpoint| &mut endpoint.secret_files) {
        *file = folder.join(&file);
    }
    Ok(endpoints)
}

/// Checks endpoints and reads their secrets.
///
/// # Errors
/// [`WebhookFaults`], all at once.
pub fn endpoints(settings: &[EndpointSettings]) -> Result<Vec<Endpoint>, WebhookFaults> {
    let (mut endpoints, mut faults, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    if settings.len() > ENDPOINTS_MAX {
        faults.push(format!("  {} endpoints are more than {ENDPOINTS_MAX}", settings.len()));
    }
    for one in settings {
        let mut fault = |what: String| faults.push(format!("  webhook \"{}\": {what}", one.name));
        if !is_name(&one.name) {
            fault(format!("a name has 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -"));
        }
        if !names.insert(&one.name) {
            fault("there are two of this name".to_owned());
        }
        let url = url(&one.url).map_err(&mut fault).ok();
        if one.secret_files.is_empty() || one.secret_files.len() > SECRETS_MAX {
            fault(format!(
                "it needs one secret file, or two while a secret is replaced, not {}",
                one.secret_files.len()
            ));
        }
        let secrets: Vec<Secret> =
            one.secret_files.iter().filter_map(|path| secret(path).map_err(&mut fault).ok()).collect();
        let (mut events, mut others) = (BTreeSet::new(), BTreeSet::new());
        for name in &one.events {
            match (name.parse(), name.parse()) {
                (Ok(kind), _) => drop(events.insert(kind)),
                (_, Ok(other)) => drop(others.insert(other)),
                (Err(_), Err::<EventType, _>(error)) => fault(format!("{error}")),
            }
        }
        if one.events.is_empty() {
            events.extend(EventKind::ALL);
        }
        endpoints.extend(url.map(|url| Endpoint { name: one.name.clone(), url, secrets, events, others }));
    }
    if faults.is_empty() { Ok(endpoints) } else { Err(WebhookFaults { faults }) }
}

pub(crate) fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(good)
}

/// The fault does not repeat the URL: it may hold a secret.
pub(crate) fn url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("its URL is none: {error}"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err("its URL must begin with https:// or http://".to_owned());
    }
    if url.host().is_none_or(str::is_empty) {
        return Err("its URL names no host".to_owned());
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("its URL holds a user name: deliveries prove themselves by their signature".to_owned());
    }
    Ok(url)
}

/// The secret in a file that nobody else may read.
pub(crate) fn secret(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let read = |error: std::io::Error| {
        format!(
            "cannot read the secret file {shown}: {error}; make one with \
             `(umask 077; echo whsec_$(openssl rand -base64 32) > {shown})`"
        )
    };
    let meta = std::fs::metadata(path).map_err(read)?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "the secret file {shown} is readable by others (mode {mode:03o}): run `chmod 600 {shown}`, and replace the \
             secret if others may have seen it"
        ));
    }
    if !meta.is_file() || meta.len() > SECRET_FILE_BYTES_MAX {
        return Err(format!("the secret file {shown} is no file of at most {SECRET_FILE_BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    Secret::parse(&text).map_err(|fault| format!("the secret file {shown} {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        path
    }

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n";

    #[test]
    fn a_file_of_endpoints_is_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write(folder.path(), "new.secret", SECRET, 0o600);
        write(folder.path(), "old.secret", SECRET, 0o600);
        let text = "[[endpoint]]\nname = \"ladder\"\nurl = \"https://ladder.example/hooks?key=1\"\n\
                    secret_files = [\"new.secret\", \"old.secret\"]\nevents = [\"match.ended\"]\n\
                    [[endpoint]]\nname = \"chat\"\nurl = \"http://10.0.0.7:8080\"\nsecret_files = [\"new.secret\"]\n";
        let path = write(folder.path(), "webhooks.toml", text, 0o644);
        let read = endpoints(&read_endpoints(&path).expect("a good file")).expect("good endpoints");
        assert_eq!(read[0].origin(), "https://ladder.example");
        assert_eq!((read[0].secrets.len(), read[0].events.len()), (2, 1));
        assert_eq!((read[1].origin().as_str(), read[1].events.len()), ("http://10.0.0.7:8080", 3));
    }

    #[test]
    fn every_fault_is_named_at_once_and_no_url_is_repeated() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let open = write(folder.path(), "open.secret", SECRET, 0o644);
        let bad = write(folder.path(), "bad.secret", "swordfish", 0o600);
        let one = |name: &str, url: &str, secret_files: &[&PathBuf], events: &[&str]| EndpointSettings {
            name: name.into(),
            url: url.into(),
            secret_files: secret_files.iter().map(|path| (*path).clone()).collect(),
            events: events.iter().map(|name| (*name).into()).collect(),
        };
        let missing = folder.path().join("missing.secret");
        let settings = [
            one("No Name", "ftp://hush.example", &[&open], &[]),
            one("twice", "https://user:hush@b.example", &[], &["match.over"]),
            one("twice", "/hush", &[&bad, &missing], &[]),
        ];
        let told = endpoints(&settings).expect_err("faults").to_string();
        for part in [
            "No Name",
            "1 to 32",
            "must begin with",
            "chmod 600",
            "user name",
            "needs one secret file",
            "match.over",
            "two of this name",
            "bad.secret does not hold",
            "missing.secret",
            "openssl rand",
        ] {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
        assert!(!told.contains("hush"), "{told}");
    }
}
