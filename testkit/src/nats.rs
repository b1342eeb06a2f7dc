//! A real NATS server with JetStream for tests: on a free port, in a temporary folder, gone when the process that started it is.
//!
//! A machine without one fails these tests.

use std::process::{Command, Stdio};

use crate::keeper::Keeper;

/// What keeps a server. Its streams are in the folder, so they are there again after a kill.
const KEEPER: &str = r#"
folder=$1; port=$2; limit=$3
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
trap '' INT TERM HUP
mkdir -m 700 "$folder" || exit 1
printf 'listen: "127.0.0.1:%s"\njetstream { store_dir: "%s/streams", max_file_store: %s }\n' "$port" "$folder" "$limit" >"$folder/config"
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

/// Room for streams, in bytes: more than any test needs.
const ROOM: &str = "67108864";

/// A running server.
#[derive(Debug)]
pub struct NatsServer(Keeper);

impl NatsServer {
    /// Starts an empty server.
    ///
    /// # Panics
    /// If there is none; says how to install it.
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn try_start() -> Result<Self, String> {
        let found = Command::new("nats-server").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.map_err(|_| {
            "the tests need NATS 2.9 or newer: install nats-server (Debian: sudo apt-get install nats-server)"
                .to_owned()
        })?;
        Keeper::start("NATS", &mut Command::new("sh"), KEEPER, &[ROOM.as_ref()]).map(Self)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.0.port())
    }

    /// Ends it without warning. Its streams stay.
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
}
