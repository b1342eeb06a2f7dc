//! Which flags and variables a command of `muster` has, by its help text. The texts are compared with the program by muster's own tests.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;

/// One command's settings.
#[derive(Debug, Default)]
pub(super) struct Help {
    flags: BTreeSet<String>,
    variables: BTreeSet<String>,
}

impl Help {
    /// Of `muster <command>`.
    ///
    /// # Errors
    /// If there is no such command.
    pub(super) fn of(root: &Path, command: &str) -> anyhow::Result<Self> {
        let path = root.join(format!("muster/tests/golden/help-{command}.txt"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("there is no command `muster {command}`"))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let names = |mark: &str| {
            let parts = text.split(mark).skip(1);
            parts.map(|part| part.split(|c| !is_name(c)).next().unwrap_or_default().to_owned()).collect()
        };
        Self { flags: names("--"), variables: names("[env: ") }
    }

    /// One sentence for each argument and variable that the command does not have.
    pub(super) fn faults<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
        variables: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        let flags = arguments.into_iter().filter_map(|argument| argument.strip_prefix("--"));
        let names = flags.map(|flag| flag.split('=').next().unwrap_or_default());
        let flags = names.filter(|name| !self.flags.contains(*name)).map(|name| format!("there is no flag --{name}"));
        let variables = variables.into_iter().filter(|name| !self.variables.contains(*name));
        flags.chain(variables.map(|name| format!("no setting is read from {name}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_variables_are_found() {
        let help =
            Help::parse("  -o, --output <OUTPUT>\n      --data <FOLDER>\n  Where [env: MUSTER_DATA=] [default: x]\n");
        assert_eq!(help.faults(["x", "--data=/d", "--output"], ["MUSTER_DATA"]), Vec::<String>::new());
        assert_eq!(help.faults(["--datas"], ["MUSTER_DATAS"]).len(), 2);
    }
}
