//! Watches every game server all the while, and says whose Allocated server was ended by somebody else than itself.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context as _;
use serde_json::{Deserializer, Value};

/// What is known of a game server.
#[derive(Debug, Clone, Default)]
struct Seen {
    state: String,
    /// A drain deadline that has passed allows its end.
    drain_deadline: Option<String>,
    /// It was Allocated when its deletion began.
    ended_by_others: bool,
}

/// Everything that was seen, by uid.
#[derive(Debug, Default)]
struct Book {
    servers: BTreeMap<String, (String, Seen)>,
    terminations: Vec<String>,
}

/// The watch.
#[derive(Debug)]
pub(crate) struct Witness {
    book: Arc<Mutex<Book>>,
    watch: Child,
    reader: Option<JoinHandle<()>>,
}

impl Witness {
    /// Begins to watch every namespace.
    pub(crate) fn begin() -> anyhow::Result<Self> {
        let book = Arc::new(Mutex::new(Book::default()));
        let mut command = Command::new("kubectl");
        command.args([
            "get",
            "gameservers.agones.dev",
            "--all-namespaces",
            "--watch",
            "--output-watch-events",
            "-o",
            "json",
        ]);
        let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("cannot start kubectl")?;
        let output = BufReader::new(watch.stdout.take().context("kubectl has no output")?);
        let written = Arc::clone(&book);
        let reader = std::thread::spawn(move || {
            for event in Deserializer::from_reader(output).into_iter::<Value>().map_while(Result::ok) {
                lock(&written).note(&event);
            }
        });
        Ok(Self { book, watch, reader: Some(reader) })
    }

    /// Allocated servers that were ended by others, in words.
    pub(crate) fn terminations(&self) -> Vec<String> {
        lock(&self.book).terminations.clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.watch.kill().ok();
        self.watch.wait().ok();
        self.reader.take().map(JoinHandle::join);
    }
}

impl Book {
    fn note(&mut self, event: &Value) {
        let object = &event["object"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let uid = text(&object["metadata"]["uid"]);
        if uid.is_empty() {
            return;
        }
        let name = text(&object["metadata"]["name"]);
        let state = text(&object["status"]["state"]);
        let leaving = event["type"] == "DELETED" || !object["metadata"]["deletionTimestamp"].is_null();
        let (_, seen) = self.servers.entry(uid).or_insert_with(|| (name.clone(), Seen::default()));
        seen.drain_deadline =
            object["metadata"]["annotations"]["muster.dev/drain-deadline"].as_str().map(str::to_owned);
        // Who ends by itself asks for Shutdown first; who crashes is Unhealthy or Error before it goes.
        let was_allocated = seen.state == "Allocated" && (state == "Allocated" || state.is_empty());
        if leaving && was_allocated && !seen.ended_by_others {
            seen.ended_by_others = true;
            let deadline = seen.drain_deadline.as_deref().unwrap_or("none");
            self.terminations.push(format!("{name} was deleted while Allocated (drain deadline: {deadline})"));
        }
        seen.state = state;
    }
}

fn lock(book: &Mutex<Book>) -> std::sync::MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, state: &str, leaving: bool) -> Value {
        let mut object = json!({ "metadata": { "uid": "1", "name": "a" }, "status": { "state": state } });
        if leaving {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        json!({ "type": kind, "object": object })
    }

    fn terminations(events: &[Value]) -> usize {
        let mut book = Book::default();
        events.iter().for_each(|event| book.note(event));
        book.terminations.len()
    }

    #[test]
    fn who_shuts_down_or_crashes_was_not_ended_by_others() {
        let allocated = event("ADDED", "Allocated", false);
        for own in ["Shutdown", "Unhealthy", "Error"] {
            let end = [
                allocated.clone(),
                event("MODIFIED", own, false),
                event("MODIFIED", own, true),
                event("DELETED", own, true),
            ];
            assert_eq!(terminations(&end), 0, "{own}");
        }
        assert_eq!(terminations(&[event("ADDED", "Reserved", false), event("DELETED", "Reserved", true)]), 0);
    }

    #[test]
    fn an_allocated_server_that_is_deleted_is_counted_once() {
        let end = [
            event("ADDED", "Allocated", false),
            event("MODIFIED", "Allocated", true),
            event("DELETED", "Allocated", true),
        ];
        assert_eq!(terminations(&end), 1);
        assert_eq!(terminations(&[event("ADDED", "Allocated", false), event("DELETED", "Allocated", false)]), 1);
    }
}
