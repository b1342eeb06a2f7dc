//! What a game server writes goes into the provider's log, line by line, bounded in length and in number.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::metrics;

/// The rest of a longer line is cut off.
const LINE_BYTES_MAX: usize = 4 * 1024;
/// More lines than this in one second are counted, not forwarded.
const LINES_PER_SECOND_MAX: u32 = 200;

/// Forwards until the pipe ends. It always reads on, so the process never blocks on a full pipe.
pub(super) async fn forward(server_id: String, pipe: impl AsyncRead + Unpin) {
    let mut lines = Lines::new(pipe);
    let mut limit = Limit::new(Instant::now());
    while let Some(line) = lines.next().await {
        let (forward, dropped) = limit.admit(Instant::now());
        if dropped > 0 {
            metrics::local_output_dropped(u64::from(dropped));
            tracing::warn!(target: "gameserver", server_id, dropped, "too much output; lines dropped");
        }
        if forward {
            log(&server_id, &line);
        }
    }
}

/// Writes the line at its own level, where it is one of our JSON log lines, and as information otherwise.
fn log(server_id: &str, line: &str) {
    let json = serde_json::from_str::<serde_json::Value>(line).ok();
    let level = json.as_ref().and_then(|json| json.get("level")?.as_str()).unwrap_or("INFO");
    match level {
        "ERROR" => tracing::error!(target: "gameserver", server_id, "{line}"),
        "WARN" => tracing::warn!(target: "gameserver", server_id, "{line}"),
        "DEBUG" => tracing::debug!(target: "gameserver", server_id, "{line}"),
        "TRACE" => tracing::trace!(target: "gameserver", server_id, "{line}"),
        _ => tracing::info!(target: "gameserver", server_id, "{line}"),
    }
}

/// Lines of at most [`LINE_BYTES_MAX`] bytes, control characters made harmless.
struct Lines<R> {
    pipe: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(pipe: R) -> Self {
        Self { pipe: BufReader::new(pipe), line: Vec::new() }
    }

    async fn next(&mut self) -> Option<String> {
        self.line.clear();
        let mut any = false;
        loop {
            // A pipe that fails has ended.
            let bytes = self.pipe.fill_buf().await.unwrap_or_default();
            if bytes.is_empty() {
                return any.then(|| clean(&self.line));
            }
            any = true;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let room = LINE_BYTES_MAX - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(end.is_some());
            self.pipe.consume(used);
            if end.is_some() {
                return Some(clean(&self.line));
            }
        }
    }
}

fn clean(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end().chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// So many lines per second, and how many were too many.
struct Limit {
    second_began: Instant,
    lines: u32,
    dropped: u32,
}

impl Limit {
    fn new(now: Instant) -> Self {
        Self { second_began: now, lines: 0, dropped: 0 }
    }

    /// Whether one more line may pass, and how many were dropped in the second that has just ended.
    fn admit(&mut self, now: Instant) -> (bool, u32) {
        let mut dropped = 0;
        if now.duration_since(self.second_began) >= Duration::from_secs(1) {
            dropped = self.dropped;
            *self = Self::new(now);
        }
        self.lines += 1;
        let forward = self.lines <= LINES_PER_SECOND_MAX;
        self.dropped += u32::from(!forward);
        (forward, dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_cleaned_and_never_lost() {
        let long = "x".repeat(LINE_BYTES_MAX * 3);
        let text = [b"one\r\n\n", long.as_bytes(), b"\n\x1b[31mred\xff\nlast"].concat();
        let mut lines = Lines::new(text.as_slice());
        assert_eq!(lines.next().await.as_deref(), Some("one"));
        assert_eq!(lines.next().await.as_deref(), Some(""));
        assert_eq!(lines.next().await.map(|line| line.len()), Some(LINE_BYTES_MAX));
        assert_eq!(lines.next().await.as_deref(), Some("\u{fffd}[31mred\u{fffd}"));
        assert_eq!(lines.next().await.as_deref(), Some("last"));
        assert_eq!(lines.next().await, None);
    }

    #[test]
    fn lines_beyond_the_limit_are_counted() {
        let start = Instant::now();
        let mut limit = Limit::new(start);
        let passed = (0..LINES_PER_SECOND_MAX + 30).filter(|_| limit.admit(start).0).count();
        assert_eq!(passed, LINES_PER_SECOND_MAX as usize);
        assert_eq!(limit.admit(start + Duration::from_secs(1)), (true, 30));
        assert_eq!(limit.admit(start + Duration::from_secs(1)), (true, 0));
    }
}
