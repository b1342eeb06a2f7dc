//! Progress while a command works: a bar on a terminal, plain lines elsewhere; always on stderr.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::remark;

/// On a log, a line at most this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// One bar or a row of lines.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    last_text: String,
}

impl Progress {
    /// Shows nothing yet. `seconds` is the bar's length.
    pub(crate) fn new(seconds: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} [{elapsed_precise}] {bar:24} {msg}")
                .expect("the template is well-formed");
            ProgressBar::new(seconds).with_style(style)
        });
        Self { bar, last_line: None, last_text: String::new() }
    }

    /// A new step, always shown.
    pub(crate) fn step(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => remark(text),
        }
    }

    /// The state of things at `second`; on a log only when it has changed, and not too often.
    pub(crate) fn update(&mut self, second: u64, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(second);
            bar.set_message(text.to_owned());
            return;
        }
        if text != self.last_text && self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            remark(&format!("{second:>4} s  {text}"));
            self.last_line = Some(Instant::now());
            text.clone_into(&mut self.last_text);
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
