//! A real Redis server for tests: on a free port, in a temporary folder, gone when the process that started it is.
//!
//! It starts in some ten milliseconds, so each test that needs one has its own. A machine without Redis fails these tests.

use std::ops::{Deref, DerefMut};
use std::process::{Command, Stdio};

use crate::single::Single;

/// How it starts. A snapshot is written only when a test asks for one, so a kill leaves nothing but that.
const SCRIPT: &str = r#"
folder=$1; port=$2
prepare() { :; }
start() {
    redis-server --port "$port" --bind 127.0.0.1 --dir "$folder" --save "" --appendonly no >>"$folder/log" 2>&1 </dev/null &
    server=$!
    until [ "$(redis-cli -h 127.0.0.1 -p "$port" ping 2>/dev/null)" = PONG ]; do
        kill -0 "$server" 2>/dev/null || { echo "failed"; return; }
        sleep 0.02
    done
    echo "started"
}
"#;

/// A running server.
#[derive(Debug)]
pub struct RedisServer(Single);

impl RedisServer {
    /// Starts an empty server.
    ///
    /// # Panics
    /// If there is no Redis; says how to install it.
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn try_start() -> Result<Self, String> {
        for program in ["redis-server", "redis-cli"] {
            let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            found.map_err(|_| {
                "the tests need Redis 7 or newer: install redis-server (Debian: sudo apt-get install redis-server)"
                    .to_owned()
            })?;
        }
        Single::launch("Redis", SCRIPT, &[]).map(Self)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// Has it do something by `redis-cli`; what that prints.
    ///
    /// # Panics
    /// If it refuses.
    pub fn cli(&self, words: &[&str]) -> String {
        let port = self.port().to_string();
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &port, "-e"])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli runs");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "redis-cli {words:?}: {text}");
        text
    }
}

/// Killing, freezing and starting it again.
impl Deref for RedisServer {
    type Target = Single;

    fn deref(&self) -> &Single {
        &self.0
    }
}

impl DerefMut for RedisServer {
    fn deref_mut(&mut self) -> &mut Single {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_forgets_when_it_is_killed_and_leaves_nothing_behind() {
        let mut server = RedisServer::start();
        assert_eq!(server.cli(&["SET", "saved", "1"]), "OK");
        assert_eq!(server.cli(&["SAVE"]), "OK");
        assert_eq!(server.cli(&["SET", "lost", "1"]), "OK");
        server.kill();
        server.start_again();
        assert_eq!(server.cli(&["EXISTS", "saved"]), "1");
        assert_eq!(server.cli(&["EXISTS", "lost"]), "0");
        let folder = server.0.folder();
        assert!(folder.exists());
        drop(server);
        assert!(!folder.exists());
    }
}
