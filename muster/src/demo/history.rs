//! The history of a demo: where it is written, and what is wrong with it in the end.

use std::path::{Path, PathBuf};

use loadtest::history::{self, Event, Recorder, Tally};

use crate::cli::DemoOptions;
use crate::exit::Failure;

/// A history that is being written, if anyone wants it.
pub(crate) struct History {
    pub(crate) recorder: Recorder,
    /// Folder whose files make rooms panic.
    pub(crate) triggers: PathBuf,
    file: Option<PathBuf>,
}

impl History {
    /// A history in the file that the options name; chaos without one writes it into the demo's own folder.
    pub(crate) fn open(options: &DemoOptions, folder: &Path) -> Result<Self, Failure> {
        let triggers = folder.join("chaos");
        std::fs::create_dir_all(&triggers).map_err(Failure::setup)?;
        let own = options.chaos.is_some().then(|| folder.join("history.jsonl"));
        let file = options.history.clone().or(own);
        let recorder = match &file {
            None => Recorder::default(),
            Some(file) => Recorder::create(file).map_err(|error| {
                Failure::setup(format!("cannot write the history {}: {error}", file.display()))
                    .help("name another file with --history")
            })?,
        };
        Ok(Self { recorder, triggers, file })
    }

    /// Ends the history with what metagame counts and what waits in the spool; says what the history comes to, and what is
    /// wrong with it.
    pub(crate) fn close(
        &self,
        [results, spooled]: [u64; 2],
        patience: u32,
    ) -> Result<Option<(Tally, Vec<String>)>, Failure> {
        let Some(file) = &self.file else { return Ok(None) };
        self.recorder.record(Event::Finished { results, spooled });
        self.recorder.flush().map_err(Failure::run)?;
        let entries = history::read(file).map_err(Failure::run)?;
        let tally = history::tally(&entries, patience);
        Ok(Some((tally, history::check(&entries, patience))))
    }
}
