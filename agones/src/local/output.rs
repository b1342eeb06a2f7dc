//! What a game server writes goes into the provider's log, line by line, bounded in length and in number.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tracing::Level;

use crate::metrics;

/// The rest of a longer line is cut off.
const LINE_BYTES_MAX: usize = 4 * 1024;
/// More lines than this in one second are counted, not forwarded.
const LINES_PER_SECOND_MAX: u32 = 200;

/// Forwards until the pipe ends. It always reads on, so the process never blocks on a full pipe.
pub async fn forward(server_id: String, pipe: impl AsyncRead + Unpin) {
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
    let (level, text) = read(line);
    match level {
        Level::ERROR => tracing::error!(target: "gameserver", server_id, "{text}"),
        Level::WARN => tracing::warn!(target: "gameserver", server_id, "{text}"),
        Level::INFO => tracing::info!(target: "gameserver", server_id, "{text}"),
        Level::DEBUG => tracing::debug!(target: "gameserver", server_id, "{text}"),
        Level::TRACE => tracing::trace!(target: "gameserver", server_id, "{text}"),
    }
}

/// Level and text of a line. A JSON line in the flat format of tracing becomes `target: message field=value …`.
fn read(line: &str) -> (Level, String) {
    let plain = || (Level::INFO, line.to_owned());
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return plain() };
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let level = text("level").and_then(|level| level.parse().ok());
    let (Some(level), Some(message)) = (level, text("message")) else { return plain() };
    let mut line = format!("{}: {message}", text("target").unwrap_or("?"));
    for (name, value) in &fields {
        if !["timestamp", "level", "target", "message", "span", "spans"].contains(&name.as_str()) {
            // Writing to a String cannot fail.
            let _ = write!(line, " {name}={value}");
        }
    }
    (level, line)
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
    fn a_json_log_line_keeps_its_level_and_its_fields() {
        let line = r#"{"timestamp":"t","level":"WARN","message":"late","match_id":"m-1","target":"room"}"#;
        assert_eq!(read(line), (Level::WARN, "room: late match_id=\"m-1\"".to_owned()));
        for plain in ["ready", "{}", "[1]", r#"{"level":"LOUD","message":""}"#, r#"{"level":"INFO"}"#] {
            assert_eq!(read(plain), (Level::INFO, plain.to_owned()));
        }
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
