//! A game's name: a Cargo package, a queue, a fleet and an Agones object at once.

use std::path::Path;

use crate::exit::Failure;

/// Longest name: Agones appends a dash and ten characters to make the names of pods, and a name of Kubernetes has 63.
const BYTES_MAX: usize = 40;
/// Names that Cargo or Rust has taken, or that the new crate itself depends on.
const TAKEN: [&str; 12] = [
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "game",
    "gameserver",
    "incremental",
    "muster",
    "proc-macro",
    "std",
    "test",
];
/// Rust's keywords that are possible package names otherwise.
const KEYWORDS: [&str; 53] = [
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "union",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "macro-rules",
];

/// A good name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GameName(String);

impl GameName {
    /// The given name, or that of the folder.
    pub(crate) fn of(folder: &Path, given: Option<&str>) -> Result<Self, Failure> {
        let name = given.or_else(|| folder.file_name().and_then(|name| name.to_str())).unwrap_or_default();
        match fault(name) {
            None => Ok(Self(name.to_owned())),
            Some(fault) => Err(Failure::setup(format!("\"{name}\" cannot be a game's name: {fault}")).help(
                "use small letters, digits and single dashes, beginning with a letter, such as my-game; --name gives a \
                 name that differs from the folder's",
            )),
        }
    }

    /// Name of the package, program, fleet and schema.
    pub(crate) fn package(&self) -> &str {
        &self.0
    }

    /// Name of the library in Rust code.
    pub(crate) fn library(&self) -> String {
        self.0.replace('-', "_")
    }
}

/// What is wrong with a name.
fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".to_owned());
    }
    if name.len() > BYTES_MAX {
        return Some(format!("it has {} bytes, at most {BYTES_MAX} fit into the names of servers", name.len()));
    }
    if let Some(odd) = name.chars().find(|&c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')) {
        return Some(format!("'{odd}' is not allowed"));
    }
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Some("it must begin with a letter".to_owned());
    }
    if name.ends_with('-') || name.contains("--") {
        return Some("dashes must be single and inside".to_owned());
    }
    if KEYWORDS.contains(&name) {
        return Some("it is a keyword of Rust".to_owned());
    }
    TAKEN.contains(&name).then(|| "Cargo, Rust or Muster uses it already".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(folder: &str) -> Option<GameName> {
        GameName::of(Path::new(folder), None).ok()
    }

    #[test]
    fn names_fit_cargo_queues_and_kubernetes() {
        let good = name("games/my-game2").expect("good");
        assert_eq!((good.package(), good.library().as_str()), ("my-game2", "my_game2"));
        let long = "a".repeat(41);
        for bad in
            ["", "..", "My-Game", "my_game", "2048", "-x", "x-", "a--b", "café", "a b", "match", "game", "std", &long]
        {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_of_its_own_frees_the_folder() {
        let given = GameName::of(Path::new("/tmp/My Game"), Some("my-game")).expect("good");
        assert_eq!(given.package(), "my-game");
        assert!(GameName::of(Path::new("my-game"), Some("My Game")).is_err());
    }
}
