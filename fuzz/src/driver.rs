//! Runs cases in worlds, catches what fails, makes it small and writes it down.
//!
//! A world takes some hundred cases one after another, so that states build up and a handshake serves many packets. All of
//! a world is decided by (seed, number of the world) and by the cases that came before in the run; the file of a failure
//! holds the world's cases, so it repeats the failure alone.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use netcode::emulator::Random;
use xxhash_rust::xxh3::xxh3_64;

use crate::mutate::mutate;
use crate::target::{ALL, Listed};
use crate::{corpus, failure};

/// Cases that led to something new and are kept to be mutated, beside the corpus.
const KEPT_MAX: usize = 2_048;

/// What a run of one target came to.
#[derive(Debug)]
struct Outcome {
    cases: u64,
    /// Different things that cases led to.
    results: usize,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    /// Number of the case that failed.
    case: u64,
    sentence: String,
    /// The cases of its world up to it, as few as still fail.
    cases: Vec<Vec<u8>>,
}

/// Runs every target and reports; fails when one does.
pub(crate) fn run(targets: &[&'static Listed], cases: u64, seed: u64, threads: usize) -> anyhow::Result<()> {
    println!("fuzz: {} targets, {cases} cases each, seed {seed}", targets.len());
    quiet_panics();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, targets.len()) {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let report = corpus::read(target).and_then(|corpus| {
                        let outcome = run_target(target, corpus, cases, seed);
                        report(target, &outcome, seed, began.elapsed().as_secs_f64())
                    });
                    if let Err(error) = report {
                        println!("{error:#}");
                        failed.lock().expect("no thread panics with the lock").push(target.name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no thread panics with the lock");
    if !failed.is_empty() {
        bail!("failed: {} (seed {seed})", failed.join(", "));
    }
    Ok(())
}

fn report(target: &Listed, outcome: &Outcome, seed: u64, seconds: f64) -> anyhow::Result<()> {
    let (cases, results) = (outcome.cases, outcome.results);
    let Some(Failure { case, sentence, cases: failing }) = &outcome.failure else {
        println!("{:10} {cases} cases, {results} different results, {seconds:.1} s", target.name);
        return Ok(());
    };
    let file = failure::write(&failure::folder(), target.name, seed, *case, failing)?;
    bail!(
        "{}: case {case} of seed {seed} failed: {sentence}\n  its {} cases are in {file}\n  again: cargo run -p fuzz -- replay {file}",
        target.name,
        failing.len(),
        file = file.display(),
    )
}

/// Runs a file's cases again, alone and with what failed said in full.
pub(crate) fn replay(file: &Path) -> anyhow::Result<()> {
    let (name, cases) = failure::read(file)?;
    let target = ALL.iter().find(|target| target.name == name).with_context(|| format!("no target is named {name}"))?;
    match run_world(target, &cases) {
        Ok(()) => println!("{name}: {} cases, nothing failed", cases.len()),
        Err((at, sentence)) => bail!("{name}: case {at} of the file failed: {sentence}"),
    }
    Ok(())
}

fn run_target(target: &Listed, mut pool: Vec<Vec<u8>>, cases: u64, seed: u64) -> Outcome {
    let (mut results, mut done, fixed) = (BTreeSet::new(), 0, pool.len());
    let mut random = Random::new(seed ^ xxh3_64(target.name.as_bytes()));
    while done < cases {
        let count = target.cases_per_world.min(cases - done);
        let mut world = Caught::new(target);
        let mut taken: Vec<Vec<u8>> = Vec::with_capacity(count as usize);
        for _ in 0..count {
            // The corpus as it is comes first.
            let case = match pool.get(done as usize) {
                Some(entry) if (done as usize) < fixed => entry.clone(),
                _ => mutate(&pool, target.bytes_max, &mut random),
            };
            taken.push(case);
            let last = taken.last().expect("just pushed");
            match world.take(last) {
                Ok(result) => {
                    if results.insert(result) && pool.len() < fixed + KEPT_MAX {
                        pool.push(last.clone());
                    }
                }
                Err(sentence) => return failed(target, results.len(), done, sentence, taken),
            }
            done += 1;
        }
        if let Err(sentence) = world.finish() {
            return failed(target, results.len(), done - 1, sentence, taken);
        }
    }
    Outcome { cases: done, results: results.len(), failure: None }
}

fn failed(target: &Listed, results: usize, case: u64, sentence: String, cases: Vec<Vec<u8>>) -> Outcome {
    let cases = smaller(target, cases);
    Outcome { cases: case + 1, results, failure: Some(Failure { case, sentence, cases }) }
}

/// Fewer cases that still fail: the last alone, or as many halves, quarters, … as can be left out.
fn smaller(target: &Listed, mut cases: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let fails = |cases: &[Vec<u8>]| run_world(target, cases).is_err();
    if !fails(&cases) {
        return cases;
    }
    let mut step = cases.len().div_ceil(2);
    while step >= 1 {
        let mut at = 0;
        while at < cases.len() && cases.len() > 1 {
            let mut fewer = cases.clone();
            fewer.drain(at..(at + step).min(cases.len()));
            if !fewer.is_empty() && fails(&fewer) {
                cases = fewer;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    cases
}

/// Runs cases in one new world, to its end.
fn run_world(target: &Listed, cases: &[Vec<u8>]) -> Result<(), (usize, String)> {
    let mut world = Caught::new(target);
    for (place, case) in cases.iter().enumerate() {
        world.take(case).map_err(|sentence| (place, sentence))?;
    }
    world.finish().map_err(|sentence| (cases.len(), sentence))
}

/// A world whose panics are caught and become sentences.
struct Caught(Box<dyn crate::target::Target>);

impl Caught {
    fn new(target: &Listed) -> Self {
        Self((target.world)())
    }

    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        catch_unwind(AssertUnwindSafe(|| self.0.take(case))).unwrap_or_else(|_| Err(panicked()))
    }

    fn finish(&mut self) -> Result<(), String> {
        catch_unwind(AssertUnwindSafe(|| self.0.finish())).unwrap_or_else(|_| Err(panicked()))
    }
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics are kept for the report instead of being printed.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let sentence = info.to_string().replace('\n', " ");
        LAST_PANIC.with(|last| *last.borrow_mut() = Some(sentence));
    }));
}

fn panicked() -> String {
    LAST_PANIC.with(|last| last.borrow_mut().take()).unwrap_or_else(|| "it panicked".to_owned())
}

/// The files of a corpus, for tests that name one.
#[cfg(test)]
fn corpus_files(target: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(corpus::folder(target))
        .expect("a corpus")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    /// Panics when a case with 0xBAD comes after one that begins with 1.
    #[derive(Default)]
    struct Planted {
        armed: bool,
    }

    impl Target for Planted {
        fn take(&mut self, case: &[u8]) -> Result<u64, String> {
            self.armed |= case.first() == Some(&1);
            assert!(!(self.armed && case.get(1) == Some(&0xFF)), "planted");
            Ok(u64::from(self.armed))
        }
    }

    const PLANTED: Listed = Listed {
        name: "planted",
        what: "a fault that is there",
        cases_per_world: 300,
        bytes_max: 64,
        world: || Box::<Planted>::default(),
        seeds: Vec::new,
    };

    #[test]
    fn a_planted_fault_is_found_made_small_and_found_again_from_its_seed_and_from_its_file() {
        let pool = vec![vec![0, 0, 0], vec![1, 2, 3, 4]];
        let outcome = run_target(&PLANTED, pool.clone(), 100_000, 5);
        let found = outcome.failure.expect("the fault is found");
        assert!((1..=2).contains(&found.cases.len()), "{} cases are not small", found.cases.len());
        let again = run_target(&PLANTED, pool, 100_000, 5).failure.expect("again");
        assert_eq!((again.case, &again.cases), (found.case, &found.cases));
        let folder = tempfile::tempdir().expect("a folder");
        let file = failure::write(folder.path(), "planted", 5, found.case, &found.cases).expect("written");
        let (name, cases) = failure::read(&file).expect("read");
        assert_eq!((name.as_str(), &cases), ("planted", &found.cases));
        assert!(run_world(&PLANTED, &cases).is_err());
    }

    #[test]
    fn every_entry_of_the_corpus_and_some_thousand_mutations_pass() {
        for target in &ALL {
            let corpus = corpus::read(target).expect("a corpus");
            let entries = corpus.len();
            let outcome = run_target(target, corpus, entries as u64 + 1_500, 1);
            assert!(outcome.failure.is_none(), "{}: {:?}", target.name, outcome.failure);
            assert!(outcome.results > 4, "{} leads to {} results alone", target.name, outcome.results);
        }
    }

    #[test]
    fn the_corpus_is_what_the_seed_command_writes() {
        for target in &ALL {
            let files = corpus_files(target.name);
            for (name, bytes) in (target.seeds)() {
                let file = files.iter().find(|file| file.ends_with(&name));
                let file = file.unwrap_or_else(|| panic!("{}/{name} is missing: run `-- seed`", target.name));
                assert_eq!(std::fs::read(file).expect("read"), bytes, "{} is stale: run `-- seed`", file.display());
            }
        }
    }
}
