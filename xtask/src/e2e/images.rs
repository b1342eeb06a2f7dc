//! Images of what is tested, on the nodes: this tree's, the previous Muster's, the stand-in's, the example's in C++.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::Options;
use crate::command::{aside, root};

/// Image of this tree.
pub(crate) const IMAGE: &str = "localhost/muster:e2e";
/// Image of the previous Muster.
pub(crate) const PREVIOUS_IMAGE: &str = "localhost/muster:e2e-previous";
/// Image of the Agones stand-in.
pub(crate) const STANDIN_IMAGE: &str = "localhost/agones-standin:e2e";
/// Image of the example server in C++.
pub(crate) const CPP_SERVER_IMAGE: &str = "localhost/clicks-server:e2e";
/// Image of its player.
pub(crate) const CPP_PLAYER_IMAGE: &str = "localhost/clicks-player:e2e";
/// The previous Muster: what landed before Muster came to Kubernetes.
const PREVIOUS_COMMIT: &str = "54625114";

/// Builds the images and brings them onto the nodes; that of the previous Muster only for those who want it.
pub(crate) fn bring(options: &Options, with_previous: bool) -> anyhow::Result<()> {
    let load = options.load.as_deref().context(
        "nothing says how images come onto the nodes: name a command with --load, such as `kind load image-archive`, or load \
         them yourself and say --no-images",
    )?;
    let out = root().join("target/e2e");
    let mut archives = Vec::new();
    if with_previous {
        archives.extend(previous(&out.join("previous"), options.release)?);
    }
    // Last: its program checks histories.
    let present = crate::image::for_tests(&root(), &out.join("present"), IMAGE, Some(STANDIN_IMAGE), options.release)?;
    archives.extend(present);
    let examples = root().join("examples/cpp-server");
    for (program, tag) in [("server", CPP_SERVER_IMAGE), ("player", CPP_PLAYER_IMAGE)] {
        let source = examples.join(program).with_extension("cpp");
        archives.push(crate::image::of_cpp(&source, &format!("clicks-{program}"), tag, &out.join("present"))?);
    }
    for archive in archives {
        let mut words = load.split_whitespace();
        let mut command = Command::new(words.next().context("--load is empty")?);
        aside(&format!("load {}", archive.display()), command.args(words).arg(&archive))?;
    }
    Ok(())
}

/// The previous Muster, from its own commit in a folder of its own. Built once.
fn previous(out: &Path, release: bool) -> anyhow::Result<Vec<PathBuf>> {
    let tree = root().join("target/previous");
    if !tree.join("Cargo.toml").exists() {
        let known = Command::new("git").current_dir(root()).args(["cat-file", "-e", PREVIOUS_COMMIT]).status()?;
        ensure!(
            known.success(),
            "commit {PREVIOUS_COMMIT} is not here: the upgrade is tested from it, so fetch the whole history"
        );
        let mut git = Command::new("git");
        git.current_dir(root()).args(["worktree", "add", "--force", "--detach"]).arg(&tree).arg(PREVIOUS_COMMIT);
        aside("check the previous Muster out", &mut git)?;
    }
    crate::image::for_tests(&tree, out, PREVIOUS_IMAGE, None, release)
}
