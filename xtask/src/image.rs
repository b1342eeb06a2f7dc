//! `cargo xtask image`: container images as archives, made without any container engine.
//!
//! The programs are linked statically, so an image holds one file and an empty `/tmp`. `deploy/Dockerfile` makes the
//! same image for those who build with an engine.

mod archive;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::command::{aside, cargo, root};
use archive::Image;

/// A target folder of its own, so that the static build and the ordinary one do not throw each other's work away. Other checkouts build
/// there as well: what they have in common is built once.
const TARGET_FOLDER: &str = "target/image";
/// Named to cargo even where it is the host: only then do procedural macros stay free of the flags for the program.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Which images, and where to.
#[derive(Args)]
pub(crate) struct Options {
    /// How the programs are compiled.
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
    /// Folder of the archives.
    #[arg(long, default_value = "target/image")]
    out: PathBuf,
    /// Name of Muster's image [default: localhost/muster and its version].
    #[arg(long)]
    tag: Option<String>,
    /// Also the stand-in for Agones, which the tests on a cluster need.
    #[arg(long)]
    test_support: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// Quick to build.
    Dev,
    /// Quick to run.
    Release,
}

/// A program that becomes an image.
struct Program {
    /// The program's file, and the image's name.
    name: &'static str,
    /// The crate that has it.
    package: &'static str,
    features: &'static [&'static str],
    title: &'static str,
}

const MUSTER: Program = Program {
    name: "muster",
    package: "muster",
    features: &[],
    title: "Muster: game servers, operator, allocator, matchmaker, metagame",
};

const STANDIN: Program = Program {
    name: "agones-standin",
    package: "cluster",
    features: &["standin"],
    title: "Stand-in for Agones in Muster's tests; never for production",
};

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut programs = vec![MUSTER];
    programs.extend(options.test_support.then_some(STANDIN));
    // One build for each: features of one program must not reach the other.
    for program in &programs {
        let executable = build(&root(), program, options.profile)?;
        let default_tag = format!("localhost/{}:{}", program.name, env!("CARGO_PKG_VERSION"));
        let tag = options.tag.clone().filter(|_| program.name == MUSTER.name).unwrap_or(default_tag);
        let image =
            Image { tag: &tag, title: program.title, version: env!("CARGO_PKG_VERSION"), program: program.name };
        let written = write(&image, &executable, &root().join(&options.out))?;
        println!("{}", serde_json::to_string(&written)?);
    }
    Ok(())
}

/// Muster's image from any checkout, and the stand-in's where a name for it is given, for tests on a cluster. Their archives. The
/// programs are those of the checkout that came last.
pub(crate) fn for_tests(
    tree: &Path,
    folder: &Path,
    tag: &str,
    standin_tag: Option<&str>,
    release: bool,
) -> anyhow::Result<Vec<PathBuf>> {
    let profile = if release { Profile::Release } else { Profile::Dev };
    let programs = [(MUSTER, Some(tag)), (STANDIN, standin_tag)];
    let mut archives = Vec::new();
    for (program, tag) in programs {
        let Some(tag) = tag else { continue };
        let executable = build(tree, &program, profile)?;
        let image = Image { tag, title: program.title, version: env!("CARGO_PKG_VERSION"), program: program.name };
        archives.push(write(&image, &executable, folder)?.archive);
    }
    Ok(archives)
}

/// The image of a C++ program of one file, linked statically. Its archive.
pub(crate) fn of_cpp(source: &Path, program: &str, tag: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let executable = folder.join(program);
    let mut compiler = Command::new("c++");
    compiler.args(["-std=c++17", "-O2", "-static", "-s", "-o"]).arg(&executable).arg(source);
    aside(&format!("{program} (C++, static)"), &mut compiler)?;
    let title = "An example of a game in another language than Muster's";
    let image = Image { tag, title, version: env!("CARGO_PKG_VERSION"), program };
    Ok(write(&image, &executable, folder)?.archive)
}

/// Muster's program as the image has it; it runs on this machine too.
pub(crate) fn muster(release: bool) -> PathBuf {
    built(&MUSTER, release)
}

/// The stand-in's.
pub(crate) fn standin(release: bool) -> PathBuf {
    built(&STANDIN, release)
}

fn built(program: &Program, release: bool) -> PathBuf {
    root().join(TARGET_FOLDER).join(TRIPLE).join(if release { "release" } else { "debug" }).join(program.name)
}

fn build(tree: &Path, program: &Program, profile: Profile) -> anyhow::Result<PathBuf> {
    let (cargo_profile, folder) = match profile {
        Profile::Dev => ("dev", "debug"),
        Profile::Release => ("release", "release"),
    };
    let target = root().join(TARGET_FOLDER);
    let mut command = cargo();
    command
        .current_dir(tree)
        .args(["build", "--locked", "--quiet", "--target", TRIPLE, "--profile", cargo_profile])
        .args(["--package", program.package, "--bin", program.name])
        .args(program.features.iter().flat_map(|feature| ["--features", feature]))
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_INCREMENTAL", "0")
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    for (setting, value) in [("STRIP", "symbols"), ("DEBUG", "none")] {
        command.env(format!("CARGO_PROFILE_{}_{setting}", cargo_profile.to_uppercase()), value);
    }
    aside(&format!("{} ({cargo_profile}, static)", program.name), &mut command)?;
    Ok(target.join(TRIPLE).join(folder).join(program.name))
}

/// What was written, for scripts.
#[derive(serde::Serialize)]
struct Written {
    tag: String,
    digest: String,
    archive: PathBuf,
    bytes: usize,
}

fn write(image: &Image<'_>, executable: &Path, folder: &Path) -> anyhow::Result<Written> {
    let content = std::fs::read(executable).with_context(|| format!("cannot read {}", executable.display()))?;
    let packed = image.pack(&content)?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let archive = folder.join(format!("{}.tar", image.program));
    std::fs::write(&archive, &packed.bytes).with_context(|| format!("cannot write {}", archive.display()))?;
    Ok(Written { tag: image.tag.to_owned(), digest: packed.digest, archive, bytes: packed.bytes.len() })
}
