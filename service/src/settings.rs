//! Settings by flag, environment variable or file: one clap definition serves all three.
//!
//! A settings file is TOML whose keys are the long flags (`admin = "127.0.0.1:7109"`, `log-format = "json"`). A flag
//! wins over an environment variable, which wins over the file. All faults of a file are named at once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Command};

/// A settings file that cannot be used; names every fault.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot read the settings file {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// It is no TOML.
    #[error("the settings file {path} is not TOML: {error}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        error: Box<toml::de::Error>,
    },
    /// Some of its keys are no settings of this program.
    #[error("the settings file {path} has faults:\n{}", faults.join("\n"))]
    Faults {
        /// The file.
        path: PathBuf,
        /// One line per fault.
        faults: Vec<String>,
    },
}

/// The arguments that a settings file stands for: `--key value` for each key that `command` knows as a long flag and
/// that neither `given` nor the environment sets.
///
/// # Errors
/// [`SettingsError`], with all unknown keys and values of a wrong type at once.
pub fn file_args(command: &Command, given: &[OsString], path: &Path) -> Result<Vec<OsString>, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|error| SettingsError::Read { path: path.into(), error })?;
    let table: toml::Table =
        text.parse().map_err(|error| SettingsError::Parse { path: path.into(), error: Box::new(error) })?;
    let (mut args, mut faults) = (Vec::new(), Vec::new());
    for (key, value) in table {
        let Some(arg) = command.get_arguments().find(|arg| arg.get_long() == Some(&key)) else {
            faults.push(format!("  {key}: no setting of `{}`{}", command.get_name(), nearest(command, &key)));
            continue;
        };
        let by_environment = arg.get_env().is_some_and(|name| std::env::var_os(name).is_some());
        if by_environment || is_given(given, &key) {
            continue;
        }
        match (arg.get_action(), value) {
            (ArgAction::SetTrue, toml::Value::Boolean(on)) => args.extend(on.then(|| format!("--{key}"))),
            (ArgAction::SetTrue, _) => faults.push(format!("  {key}: must be true or false")),
            (_, toml::Value::Array(values)) => args.extend(values.iter().map(|v| format!("--{key}={}", plain(v)))),
            (_, toml::Value::Table(_)) => faults.push(format!("  {key}: must be a single value")),
            (_, value) => args.push(format!("--{key}={}", plain(&value))),
        }
    }
    if faults.is_empty() {
        Ok(args.into_iter().map(OsString::from).collect())
    } else {
        Err(SettingsError::Faults { path: path.into(), faults })
    }
}

fn is_given(given: &[OsString], key: &str) -> bool {
    let flag = format!("--{key}");
    given
        .iter()
        .filter_map(|arg| arg.to_str())
        .any(|arg| arg.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
}

fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// ": did you mean …?" when a setting begins alike.
fn nearest(command: &Command, key: &str) -> String {
    let start: String = key.chars().take(3).collect();
    let like = command.get_arguments().filter_map(clap::Arg::get_long).find(|long| long.starts_with(&start));
    like.map_or_else(String::new, |long| format!(" (did you mean {long}?)"))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn command() -> Command {
        Command::new("allocator")
            .arg(Arg::new("listen").long("listen"))
            .arg(Arg::new("region").long("region").action(ArgAction::Append))
            .arg(Arg::new("quiet").long("quiet").action(ArgAction::SetTrue))
    }

    fn args(text: &str, given: &[&str]) -> Result<Vec<OsString>, SettingsError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, text).expect("write");
        file_args(&command(), &given.iter().map(OsString::from).collect::<Vec<_>>(), &path)
    }

    #[test]
    fn keys_become_flags_unless_given_on_the_command_line() {
        let text = "listen = \"127.0.0.1:1\"\nregion = [\"eu\", \"us\"]\nquiet = true\n";
        assert_eq!(args(text, &[]).expect("good"), ["--listen=127.0.0.1:1", "--quiet", "--region=eu", "--region=us"]);
        assert_eq!(args(text, &["--listen=x", "--region", "a"]).expect("good"), ["--quiet"]);
    }

    #[test]
    fn every_fault_of_a_file_is_named_at_once() {
        let error = args("lisen = 1\nquiet = \"yes\"\n", &[]).expect_err("two faults").to_string();
        assert!(error.contains("lisen") && error.contains("did you mean listen") && error.contains("quiet"), "{error}");
        assert!(args("listen = ", &[]).expect_err("no TOML").to_string().contains("not TOML"));
    }
}
