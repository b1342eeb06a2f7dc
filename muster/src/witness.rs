//! A history of what bots see, and of what an allocator elsewhere says, for `muster check-history`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use loadtest::history::Recorder;
use service::Shutdown;
use service::token::ServiceTokens;

use crate::exit::Failure;
use crate::observe::Observer;

/// How long the allocator may take to say that the last match is over, after the last player knows.
const LAST_WORD: Duration = Duration::from_secs(15);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Args)]
pub(crate) struct WitnessOptions {
    /// Write everything that the bots saw into this file, one JSON object per line.
    #[arg(long, value_name = "FILE", help_heading = "History")]
    pub(crate) history: Option<PathBuf>,
    /// Write down what this allocator says of matches too.
    #[arg(long, value_name = "URL", requires_all = ["history", "allocator_token"], help_heading = "History")]
    pub(crate) allocator: Option<String>,
    /// File with the service token that the allocator wants to see.
    #[arg(long, value_name = "FILE", help_heading = "History")]
    pub(crate) allocator_token: Option<PathBuf>,
}

/// Writes a history.
pub(crate) struct Witness {
    /// Forgets everything where no history is asked for.
    pub(crate) history: Recorder,
    observer: Option<Observer>,
    end: Shutdown,
}

impl Witness {
    /// Begins, within a tokio runtime.
    pub(crate) fn start(options: &WitnessOptions) -> Result<Self, Failure> {
        let end = Shutdown::new();
        let Some(file) = &options.history else {
            return Ok(Self { history: Recorder::default(), observer: None, end });
        };
        let history = Recorder::create(file).map_err(|error| {
            Failure::setup(format!("cannot write the history {}: {error}", file.display()))
                .help("name a file that this user may write with --history")
        })?;
        let observer = match (&options.allocator, &options.allocator_token) {
            (Some(address), Some(token)) => {
                let tokens = ServiceTokens::in_file(token);
                Some(Observer::start(address, tokens, end.clone(), history.clone()).map_err(Failure::setup)?)
            }
            _ => None,
        };
        Ok(Self { history, observer, end })
    }

    /// Waits for the allocator's last word, and puts everything on the disk.
    pub(crate) async fn finish(self) -> Result<(), Failure> {
        if let Some(observer) = &self.observer {
            let over = async {
                while !observer.running().is_empty() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            // A match that nobody ends is a fault that the history shows.
            tokio::time::timeout(LAST_WORD, over).await.ok();
        }
        self.end.trigger();
        self.history.flush().map_err(|error| Failure::run(format!("cannot finish the history: {error}")))
    }
}
