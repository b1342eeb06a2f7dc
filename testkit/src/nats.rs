//! A real NATS server with JetStream for tests: on a free port, in a temporary folder, gone when the process that started it is.
//!
//! A machine without one fails these tests.

use std::ops::{Deref, DerefMut};
use std::process::{Command, Stdio};

use crate::single::Single;

/// How it starts. Its streams are in the folder, so they are there again after a kill.
const SCRIPT: &str = r#"
folder=$1; port=$2; limit=$3; more=$4
start() {
    : >"$folder/log"
    nats-server --config "$folder/config" >>"$folder/log" 2>&1 </dev/null &
    server=$!
    until grep -q "Server is ready" "$folder/log"; do
        kill -0 "$server" 2>/dev/null || { echo "failed"; return; }
        sleep 0.02
    done
    echo "started"
}
prepare() {
    printf 'listen: "127.0.0.1:%s"\njetstream { store_dir: "%s/streams", max_file_store: %s }\n%s\n' "$port" "$folder" "$limit" "$more" >"$folder/config"
}
"#;

/// Room for streams, in bytes: more than any test needs.
const ROOM: &str = "67108864";

/// A running server.
#[derive(Debug)]
pub struct NatsServer(Single);

impl NatsServer {
    /// Starts an empty server.
    ///
    /// # Panics
    /// If there is none; says how to install it.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts an empty server with these lines in its configuration.
    ///
    /// # Panics
    /// If there is none; says how to install it.
    pub fn start_with(more: &str) -> Self {
        Self::try_start(more).unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn try_start(more: &str) -> Result<Self, String> {
        let found = Command::new("nats-server").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.map_err(|_| {
            "the tests need NATS 2.9 or newer: install nats-server (Debian: sudo apt-get install nats-server)"
                .to_owned()
        })?;
        Single::launch("NATS", SCRIPT, &[ROOM.as_ref(), more.as_ref()]).map(Self)
    }

    /// What it has logged since it was started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port())
    }
}

/// Killing, freezing and starting it again.
impl Deref for NatsServer {
    type Target = Single;

    fn deref(&self) -> &Single {
        &self.0
    }
}

impl DerefMut for NatsServer {
    fn deref_mut(&mut self) -> &mut Single {
        &mut self.0
    }
}
