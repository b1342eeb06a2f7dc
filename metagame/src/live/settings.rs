//! Which vendors and which hooks there are: read from a file, every fault named at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{AntiCheat, Integrations};
use crate::core::live::hook::IfDown;
use crate::core::live::rule::Act;
use crate::core::live::verdict::{Measure, Policy};
use crate::rules::Hook;
use crate::webhooks::{is_name, secret, url};

/// Most vendors, and most hooks.
const VENDORS_MAX: usize = 8;
const HOOKS_MAX: usize = 8;
/// How long a hook may take: whoever acts waits for it.
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 50..=2_000;
/// Most secrets of one that are live at once: the new one and the old one.
const SECRETS_MAX: usize = 2;
/// Longest ban in hours: a hundred years.
const BAN_HOURS_MAX: u64 = 876_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    anti_cheat: Vec<AntiCheatForm>,
    #[serde(default)]
    hook: Vec<HookForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HookForm {
    name: String,
    url: String,
    secret_files: Vec<PathBuf>,
    acts: BTreeSet<Act>,
    timeout_ms: u64,
    if_down: IfDown,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AntiCheatForm {
    name: String,
    secret_files: Vec<PathBuf>,
    #[serde(default)]
    suspicious: Measure,
    #[serde(default)]
    cheating: Measure,
    #[serde(default)]
    ban_hours: Option<u64>,
}

/// Every fault of a file of integrations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the integrations cannot be used:\n{}", .0.join("\n"))]
pub struct IntegrationFaults(pub Vec<String>);

/// Reads a file of integrations (TOML); secret files are named as seen from its folder.
///
/// # Errors
/// [`IntegrationFaults`], all at once.
pub fn read_integrations(path: &Path) -> Result<Integrations, IntegrationFaults> {
    let fault = |what: String| IntegrationFaults(vec![format!("  {}: {what}", path.display())]);
    let text = std::fs::read_to_string(path).map_err(|error| fault(format!("cannot read it: {error}")))?;
    let form: FileForm = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let (mut faults, mut names, mut anti_cheat) = (Vec::new(), BTreeSet::new(), Vec::new());
    if form.anti_cheat.len() > VENDORS_MAX {
        faults.push(format!("  {} vendors are more than {VENDORS_MAX}", form.anti_cheat.len()));
    }
    for one in form.anti_cheat {
        let mut fault = |what: String| faults.push(format!("  anti_cheat {:?}: {what}", one.name));
        if !is_name(&one.name) {
            fault("a name has 1 to 32 of a-z, 0-9 and -".to_owned());
        }
        if !names.insert(one.name.clone()) {
            fault("there are two of this name".to_owned());
        }
        if one.secret_files.is_empty() || one.secret_files.len() > SECRETS_MAX {
            fault("it needs one secret file, or two while a secret is replaced".to_owned());
        }
        if one.ban_hours.is_some_and(|hours| !(1..=BAN_HOURS_MAX).contains(&hours)) {
            fault(format!("ban_hours is 1 to {BAN_HOURS_MAX}; without it a ban is for ever"));
        }
        let read = one.secret_files.iter().filter_map(|file| secret(&folder.join(file)).map_err(&mut fault).ok());
        let secrets = read.collect();
        let ban_ms = one.ban_hours.map(|hours| hours.saturating_mul(60 * 60 * 1_000));
        let policy = Policy { suspicious: one.suspicious, cheating: one.cheating, ban_ms };
        anti_cheat.push(AntiCheat { name: one.name, secrets, policy });
    }
    let hooks = hooks(form.hook, folder, &mut faults);
    if faults.is_empty() { Ok(Integrations { anti_cheat, hooks }) } else { Err(IntegrationFaults(faults)) }
}

fn hooks(forms: Vec<HookForm>, folder: &Path, faults: &mut Vec<String>) -> Vec<Hook> {
    let (mut names, mut hooks) = (BTreeSet::new(), Vec::new());
    if forms.len() > HOOKS_MAX {
        faults.push(format!("  {} hooks are more than {HOOKS_MAX}", forms.len()));
    }
    for one in forms {
        let mut fault = |what: String| faults.push(format!("  hook {:?}: {what}", one.name));
        if !is_name(&one.name) {
            fault("a name has 1 to 32 of a-z, 0-9 and -".to_owned());
        }
        if !names.insert(one.name.clone()) {
            fault("there are two of this name".to_owned());
        }
        if one.secret_files.is_empty() || one.secret_files.len() > SECRETS_MAX {
            fault("it needs one secret file, or two while a secret is replaced".to_owned());
        }
        if one.acts.is_empty() {
            let acts = Act::ALL.map(Act::name).join(", ");
            fault(format!("acts says what it is asked about: some of {acts}"));
        }
        if !TIMEOUT_MS.contains(&one.timeout_ms) {
            fault(format!("timeout_ms is {} to {}: players wait for it", TIMEOUT_MS.start(), TIMEOUT_MS.end()));
        }
        let url = url(&one.url).map_err(&mut fault).ok();
        let read = one.secret_files.iter().filter_map(|file| secret(&folder.join(file)).map_err(&mut fault).ok());
        let (secrets, timeout) = (read.collect(), Duration::from_millis(one.timeout_ms));
        let (name, acts, if_down) = (one.name, one.acts, one.if_down);
        hooks.extend(url.map(|url| Hook { name, url, secrets, acts, timeout, if_down }));
    }
    hooks
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let secret = folder.path().join("vendor.secret");
        std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("write");
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        let path = folder.path().join("integrations.toml");
        std::fs::write(&path, text).expect("write");
        (folder, path)
    }

    #[test]
    fn a_file_is_read() {
        let (_folder, path) = file(
            "[[anti_cheat]]\nname = \"warden\"\nsecret_files = [\"vendor.secret\"]\ncheating = \"ban\"\nban_hours = 24\n",
        );
        let read = read_integrations(&path).expect("a good file");
        let policy = Policy { suspicious: Measure::Flag, cheating: Measure::Ban, ban_ms: Some(86_400_000) };
        assert_eq!((read.anti_cheat[0].name.as_str(), read.anti_cheat[0].policy), ("warden", policy));
    }

    #[test]
    fn a_hook_says_what_it_is_asked_about_how_long_it_may_take_and_what_happens_without_it() {
        let hook = "[[hook]]\nname = \"moderation\"\nurl = \"https://rules.example/ask?key=hush\"\n\
                    secret_files = [\"vendor.secret\"]\nacts = [\"name\", \"party\"]\ntimeout_ms = 300\nif_down = \"allow\"\n";
        let (_folder, path) = file(hook);
        let read = read_integrations(&path).expect("a good file");
        let one = &read.hooks[0];
        assert_eq!(
            (one.name.as_str(), one.timeout, one.if_down),
            ("moderation", Duration::from_millis(300), IfDown::Allow)
        );
        assert_eq!(one.acts, [Act::Name, Act::Party].into());
        let told = |from: &str, to: &str| {
            let (_folder, path) = file(&hook.replace(from, to));
            read_integrations(&path).expect_err(to).to_string()
        };
        assert!(told("if_down = \"allow\"\n", "").contains("if_down"), "the studio has to decide");
        assert!(told("300", "60000").contains("50 to 2000"));
        assert!(told("\"name\", \"party\"", "").contains("purchase"));
        let fault = told("https", "ftp");
        assert!(fault.contains("https://") && !fault.contains("hush"), "{fault}");
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let (_folder, path) = file(
            "[[anti_cheat]]\nname = \"No Name\"\nsecret_files = []\nban_hours = 0\n\
             [[anti_cheat]]\nname = \"b\"\nsecret_files = [\"missing\"]\n",
        );
        let told = read_integrations(&path).expect_err("faults").to_string();
        for part in ["No Name", "1 to 32", "one secret file", "ban_hours", "missing"] {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
    }
}
