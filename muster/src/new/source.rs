//! Where a new game takes Muster's crates from.

use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// The checkout that this program was built from.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Where Muster's crates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A checkout on this machine.
    Folder(PathBuf),
    /// A repository that Cargo fetches.
    Git(String),
}

impl Source {
    /// What the user says; else the checkout that this program was built from, if it is still there.
    pub(crate) fn find(folder: Option<&Path>, git: Option<&str>) -> Result<Self, Failure> {
        if let Some(url) = git {
            return Self::git(url);
        }
        if let Some(folder) = folder {
            return checkout(folder).map(Self::Folder).ok_or_else(|| {
                Failure::setup(format!("{} is no checkout of Muster: it has no game/Cargo.toml", folder.display()))
                    .help("name the folder that holds Muster's crates with --muster-path")
            });
        }
        checkout(Path::new(BUILT_FROM)).map(Self::Folder).ok_or_else(|| {
            Failure::setup("the sources that this program was built from are gone")
                .help("name a checkout of Muster with --muster-path, or its repository with --muster-git https://…")
        })
    }

    fn git(url: &str) -> Result<Self, Failure> {
        let is_plain =
            !url.is_empty() && !url.chars().any(|c| c.is_control() || c.is_whitespace() || "\"\\{}".contains(c));
        if is_plain && url.contains(':') {
            Ok(Self::Git(url.to_owned()))
        } else {
            Err(Failure::setup(format!("\"{url}\" is not the URL of a repository"))
                .help("expected https://… or ssh://…"))
        }
    }

    /// The checkout's `Cargo.lock`.
    pub(crate) fn lock(&self) -> Option<String> {
        match self {
            Self::Folder(folder) => std::fs::read_to_string(folder.join("Cargo.lock")).ok(),
            Self::Git(_) => None,
        }
    }

    /// What templates say about it.
    pub(crate) fn texts(&self) -> [(&'static str, String); 6] {
        match self {
            Self::Folder(folder) => {
                let path = |name: &str| toml::Value::from(folder.join(name).display().to_string());
                let (game, gameserver) = (path("game"), path("gameserver"));
                let folder = folder.display();
                [
                    ("game", format!("{{ path = {game} }}")),
                    ("gameserver", format!("{{ path = {gameserver} }}")),
                    (
                        "docker_how",
                        format!(
                            "# Muster's crates come from a checkout beside this folder, as a second build context:\n\
                         #   docker build --build-context muster={folder} -t {{{{name}}}}:dev ."
                        ),
                    ),
                    ("docker_muster", format!("COPY --from=muster . {folder}\n")),
                    ("docker_line", format!("`docker build --build-context muster={folder} .`")),
                    (
                        "dependencies_how",
                        format!(
                            "Muster's crates come from `{folder}`. Once your team shares a repository of Muster, write in \
                         `Cargo.toml`\n`game = {{ git = \"https://…\", rev = \"…\" }}`, the same for `gameserver`, and drop \
                         the second context from the `Dockerfile`.\n"
                        ),
                    ),
                ]
            }
            Self::Git(url) => [
                ("game", format!("{{ git = \"{url}\" }}")),
                ("gameserver", format!("{{ git = \"{url}\" }}")),
                ("docker_how", "#   docker build -t {{name}}:dev .".to_owned()),
                ("docker_muster", String::new()),
                ("docker_line", "`docker build .`".to_owned()),
                (
                    "dependencies_how",
                    format!("Muster's crates come from <{url}>. Pin a commit with `rev = \"…\"` in `Cargo.toml`.\n"),
                ),
            ],
        }
    }
}

/// The folder's full path, if it holds Muster's crates.
fn checkout(folder: &Path) -> Option<PathBuf> {
    let has = |path: &str| folder.join(path).is_file();
    (has("game/Cargo.toml") && has("gameserver/Cargo.toml")).then(|| folder.canonicalize().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_of_this_program_is_found_and_a_wrong_folder_is_refused() {
        let Ok(Source::Folder(folder)) = Source::find(None, None) else { panic!("this test runs in a checkout") };
        assert!(folder.is_absolute() && folder.join("game/Cargo.toml").is_file());
        assert!(Source::find(Some(Path::new("/proc")), None).is_err());
    }

    #[test]
    fn a_repository_must_be_a_url() {
        assert!(Source::find(None, Some("https://example.com/muster.git")).is_ok());
        for bad in ["", "muster", "https://a b", "x:\"\n[evil]"] {
            assert!(Source::find(None, Some(bad)).is_err(), "{bad}");
        }
    }
}
