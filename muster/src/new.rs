//! `muster new`: a crate with a small game that can be built, tested and played at once.

mod name;
mod source;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::NewOptions;
use crate::exit::Failure;
use crate::new::name::GameName;
use crate::new::source::Source;
use crate::output::answer;

/// The files: where they go, and their text with `{{…}}` for what differs from game to game.
const FILES: [(&str, &str); 11] = [
    ("Cargo.toml", include_str!("../templates/new/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../templates/new/src/lib.rs.in")),
    ("src/main.rs", include_str!("../templates/new/src/main.rs.in")),
    ("tests/matches.rs", include_str!("../templates/new/tests/matches.rs.in")),
    ("queues.toml", include_str!("../templates/new/queues.toml.in")),
    ("Dockerfile", include_str!("../templates/new/Dockerfile.in")),
    ("fleet.yaml", include_str!("../templates/new/fleet.yaml.in")),
    ("README.md", include_str!("../templates/new/README.md.in")),
    (".gitignore", include_str!("../templates/new/gitignore")),
    (".dockerignore", include_str!("../templates/new/dockerignore")),
    // The toolchain that Muster is tested with.
    ("rust-toolchain.toml", include_str!("../../rust-toolchain.toml")),
];

/// Writes the crate and says how to go on.
pub(crate) fn run(options: &NewOptions) -> Result<ExitCode, Failure> {
    let name = GameName::of(&options.folder, options.name.as_deref())?;
    let source = Source::find(options.muster_path.as_deref(), options.muster_git.as_deref())?;
    write(&options.folder, &name, &source)?;
    let program = format!("target/release/{}", name.package());
    let folder = options.folder.display();
    answer(&format!(
        "{folder} is a game now. Next:\n  cd {folder}\n  cargo test\n  cargo build --release\n  \
         muster demo --game {program} --queues queues.toml --players 8"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes every file into a new folder; leaves nothing behind when that fails.
fn write(folder: &Path, name: &GameName, source: &Source) -> Result<(), Failure> {
    make(folder)?;
    let written = write_files(folder, name, source);
    if written.is_err() {
        // It is ours: it was made a moment ago. What is left after a failing disk is told by the failure below.
        let _ = std::fs::remove_dir_all(folder);
    }
    written.map_err(|(path, error)| Failure::setup(format!("cannot write {}: {error}", path.display())))
}

fn make(folder: &Path) -> Result<(), Failure> {
    if folder.exists() {
        return Err(Failure::setup(format!("{} exists already", folder.display()))
            .help("choose another folder: `muster new` never writes over anything"));
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::setup(format!("cannot make the folder {}: {error}", folder.display())))
}

fn write_files(folder: &Path, name: &GameName, source: &Source) -> Result<(), (PathBuf, std::io::Error)> {
    let texts = FILES.map(|(file, template)| (file, fill(template, name, source)));
    // The versions that Muster is tested with, where they are known.
    let lock = source.lock().map(|lock| ("Cargo.lock", lock));
    for (file, text) in texts.into_iter().chain(lock) {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| (path.clone(), error))?;
    }
    Ok(())
}

/// A template's text for this game.
fn fill(template: &str, name: &GameName, source: &Source) -> String {
    let mut text = template.to_owned();
    for (key, value) in source.texts() {
        text = text.replace(&format!("{{{{{key}}}}}"), &value);
    }
    text.replace("{{name}}", name.package()).replace("{{crate}}", &name.library())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_filled() {
        let name = GameName::of(Path::new("my-game"), None).expect("good");
        for source in [Source::Folder("/src/muster".into()), Source::Git("https://example.com/muster".into())] {
            for (file, template) in FILES {
                let text = fill(template, &name, &source);
                assert!(!text.contains("{{") && !text.contains("}}"), "{file}: {text}");
            }
        }
    }

    #[test]
    fn an_existing_folder_is_not_touched() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(make(folder.path()).is_err());
        let fresh = folder.path().join("fresh");
        make(&fresh).expect("it is new");
        assert!(make(&fresh).is_err());
    }
}
