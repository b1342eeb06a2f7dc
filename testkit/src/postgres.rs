//! A real PostgreSQL server for tests: on a free port, in a temporary folder, gone when the process that started it is.
//!
//! `cargo xtask test` starts one for all test programs and names it in [`VARIABLE`]; a test program that is started by
//! itself starts its own. Each test has a database of its own on it. A machine without PostgreSQL fails these tests.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::keeper::Keeper;

/// Names the server that is there already: `postgres://…`, without a database.
pub const VARIABLE: &str = "MUSTER_TEST_POSTGRES";

/// Oldest version that Muster works with.
const VERSION_MIN: u32 = 15;
/// How long a server may take to start on a machine that is busy.
const START: Duration = Duration::from_secs(60);

/// What keeps a server.
const KEEPER: &str = r#"
folder=$1; port=$2; bin=$3
start() {
    "$bin/postgres" -D "$folder/data" -p "$port" -k "$folder" -c listen_addresses=127.0.0.1 \
        -c max_connections=200 -c shared_buffers=64MB >>"$folder/log" 2>&1 </dev/null &
    server=$!
    until "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; do
        kill -0 "$server" 2>/dev/null || { echo "failed"; return; }
        sleep 0.05
    done
    echo "started"
}
stop() { kill -"$1" "$server" 2>/dev/null; wait "$server" 2>/dev/null; }
# As when a machine is switched off: nobody has a last word, the backends neither. The next server wants their memory gone.
destroy() {
    doomed=$server
    for stat in /proc/[0-9]*/stat; do
        { read -r pid name state parent rest <"$stat"; } 2>/dev/null || continue
        [ "$name" = "(postgres)" ] && [ "$parent" = "$server" ] && doomed="$doomed $pid"
    done
    kill -KILL $doomed 2>/dev/null
    wait "$server" 2>/dev/null
    for pid in $doomed; do
        while { read -r pid name state rest <"/proc/$pid/stat"; } 2>/dev/null && [ "$state" != Z ]; do sleep 0.01; done
    done
}
trap '' INT TERM HUP
mkdir -m 700 "$folder" || exit 1
"$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$folder/log" 2>&1 || echo "failed"
start
while read -r order; do
    case "$order" in
        start) start ;;
        stop) stop INT; echo "stopped" ;;
        crash) stop QUIT; echo "stopped" ;;
        kill) destroy; echo "stopped" ;;
    esac
done
stop QUIT
rm -rf "$folder"
"#;

/// A running server.
#[derive(Debug)]
pub struct Server(Keeper);

impl Server {
    /// Starts a server with the durability of a real one.
    ///
    /// # Errors
    /// What is missing, and how to install it.
    pub fn start() -> Result<Self, String> {
        let bin = programs()?;
        // initdb refuses root.
        let mut shell = if is_root() {
            let mut shell = Command::new("setpriv");
            shell.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "sh"]);
            shell
        } else {
            Command::new("sh")
        };
        Keeper::start("PostgreSQL", shell.current_dir("/"), KEEPER, &[bin.as_os_str()]).map(Self)
    }

    /// Its address, without a database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port())
    }

    /// The id of a process that all of its own descend from.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// Ends it as an operator does, or without warning (`crash`); its data stays.
    ///
    /// # Panics
    /// If it does not obey.
    pub fn stop(&mut self, crash: bool) {
        self.0.order(if crash { "crash" } else { "stop" }, "stopped");
    }

    /// kill -9 of the server and of every process of it; its data stays as it is on the disk.
    ///
    /// # Panics
    /// If it does not obey.
    pub fn kill(&mut self) {
        self.0.order("kill", "stopped");
    }

    /// Starts it again.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.0.order("start", "started");
    }
}

/// A database of one test; dropped with it.
#[derive(Debug)]
pub struct TestDatabase {
    server: String,
    name: String,
}

impl TestDatabase {
    /// An empty database on the server that the tests share.
    ///
    /// # Panics
    /// If there is no PostgreSQL; says how to install it.
    pub fn new() -> Self {
        Self::on(shared())
    }

    /// An empty database on this server.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn on(server: &str) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        psql(server, "postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        Self { server: server.to_owned(), name }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements in it; what they answer, unaligned and without headings.
    ///
    /// # Panics
    /// If one fails.
    pub fn psql(&self, sql: &str) -> String {
        psql(&self.server, &self.name, sql)
    }

    /// Everything in it, as `pg_dump` writes it: binary values are hex digits after `\\x`.
    ///
    /// # Panics
    /// If it cannot be dumped.
    pub fn dump(&self) -> String {
        let program = programs().expect("PostgreSQL is installed").join("pg_dump");
        let output = Command::new(program).arg("-d").arg(self.url()).stdin(Stdio::null()).output();
        let output = output.expect("pg_dump runs");
        assert!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Default for TestDatabase {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // The server may be one that its test has stopped.
        let _ = run_psql(&self.server, "postgres", &sql);
    }
}

/// The address of the server that the tests of this run share.
///
/// # Panics
/// If there is no PostgreSQL; says how to install it.
pub fn shared() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    // Never dropped: its lifeline closes when this process ends.
    static SERVER: OnceLock<Server> = OnceLock::new();
    URL.get_or_init(|| {
        std::env::var(VARIABLE).unwrap_or_else(|_| {
            let server = Server::start().unwrap_or_else(|fault| panic!("{fault}"));
            SERVER.get_or_init(|| server).url()
        })
    })
}

/// The folder of PostgreSQL's programs.
///
/// # Errors
/// How to install them.
pub fn programs() -> Result<PathBuf, String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(version, bin)| *version >= VERSION_MIN && bin.join("initdb").is_file())
        .max_by_key(|(version, _)| *version)
        .map(|(_, bin)| bin);
    let elsewhere = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file())
    };
    newest.or_else(elsewhere).ok_or_else(|| {
        format!(
            "the tests need PostgreSQL {VERSION_MIN} or newer: install postgresql (Debian: sudo apt-get install postgresql)"
        )
    })
}

fn psql(server: &str, database: &str, sql: &str) -> String {
    let until = Instant::now() + START;
    loop {
        match run_psql(server, database, sql) {
            Ok(output) => return output,
            // Two tests that make their database at once, on a server that is busy.
            Err(fault) if fault.contains("being accessed") && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(fault) => panic!("psql: {fault}"),
        }
    }
}

fn run_psql(server: &str, database: &str, sql: &str) -> Result<String, String> {
    let program = programs()?.join("psql");
    let output = Command::new(program)
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
        .arg(format!("{server}/{database}"))
        .args(["-c", sql])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_leaves_nothing_behind() {
        let mut server = Server::start().expect("a server");
        let database = TestDatabase::on(&server.url());
        assert_eq!(database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (7); SELECT a FROM t"), "7");
        server.stop(true);
        server.start_again();
        assert_eq!(database.psql("SELECT a FROM t"), "7", "what was committed survives a crash");
        for n in 0..3 {
            server.kill();
            server.start_again();
            assert_eq!(database.psql("SELECT count(*) FROM t"), (n + 1).to_string(), "and a kill");
            database.psql("INSERT INTO t VALUES (8)");
        }
        let folder = PathBuf::from(database.psql("SHOW data_directory"));
        let postmaster = std::fs::read_to_string(folder.join("postmaster.pid")).expect("root may read it");
        let process = PathBuf::from("/proc").join(postmaster.lines().next().expect("its id"));
        assert!(process.exists());
        drop(server);
        assert!(!folder.exists() && !process.exists());
    }
}
