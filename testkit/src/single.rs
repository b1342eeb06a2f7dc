//! A server of one process: how it is killed, frozen and started again.

use std::ffi::OsStr;
use std::process::Command;

use crate::keeper::Keeper;

/// What its keeper does after `start` is defined and the server has its folder.
const ORDERS: &str = r#"
trap '' INT TERM HUP
mkdir -m 700 "$folder" || exit 1
prepare
start
while read -r order; do
    case "$order" in
        start) start ;;
        kill) kill -KILL "$server"; wait "$server" 2>/dev/null; echo "done" ;;
        freeze) kill -STOP "$server"; echo "done" ;;
        thaw) kill -CONT "$server"; echo "done" ;;
    esac
done
kill -KILL "$server" 2>/dev/null; wait "$server" 2>/dev/null
rm -rf "$folder"
"#;

/// A running server.
#[derive(Debug)]
pub struct Single(Keeper);

impl Single {
    /// Starts a server by `script`: it sets `folder` and `port` from its first two arguments, and defines `prepare`, which is done once, and
    /// `start`, which sets `server` to the process's id and answers `started` or `failed`.
    pub(crate) fn launch(name: &'static str, script: &str, args: &[&OsStr]) -> Result<Self, String> {
        Keeper::start(name, &mut Command::new("sh"), &format!("{script}{ORDERS}"), args).map(Self)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// The id of a process that all of its own descend from.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Ends it without warning.
    ///
    /// # Panics
    /// If its keeper does not obey.
    pub fn kill(&mut self) {
        self.0.order("kill", "done");
    }

    /// Starts it again on the same port.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.0.order("start", "started");
    }

    /// Its connections stay open and nothing answers any more, until [`thaw`](Self::thaw).
    ///
    /// # Panics
    /// If its keeper does not obey.
    pub fn freeze(&mut self) {
        self.0.order("freeze", "done");
    }

    /// It goes on.
    ///
    /// # Panics
    /// If its keeper does not obey.
    pub fn thaw(&mut self) {
        self.0.order("thaw", "done");
    }

    pub(crate) fn folder(&self) -> std::path::PathBuf {
        self.0.folder()
    }
}
