//! The platform that chaos breaks: a process of its own, so that it can be killed with everything in it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arena::random::Random;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use super::orders::{Answer, Begin, Order, Server};
use crate::exit::Failure;
use crate::gameserver::chaos;
use crate::platform::{At, Reach, ServiceData};

/// Longest time for an order: a service that is stopped lets its callers finish first.
const ANSWER: Duration = Duration::from_secs(60);
/// How often the process is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Where the ports come from: below those that systems give to outgoing connections. While the platform is down, one of its
/// own clients could otherwise be given its port.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A platform in a process of its own.
pub(crate) struct PlatformApart {
    begin: Begin,
    /// What it logs.
    log: String,
    /// Folder whose files make rooms panic.
    triggers: PathBuf,
    reach: Reach,
    /// None while it is down.
    process: Mutex<Option<Process>>,
    servers_max: AtomicU64,
}

struct Process {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl PlatformApart {
    /// Starts it.
    pub(crate) async fn start(begin: Begin, log: &str, triggers: PathBuf) -> Result<Self, Failure> {
        let data = ServiceData::open(&begin.data)?;
        let at = At {
            metagame: begin.metagame,
            metagame_admin: SocketAddr::new(begin.metagame.ip(), begin.metagame.port() + 1),
            allocator: begin.allocator,
            matchmaker: begin.matchmaker,
        };
        let reach = Reach::new(&data, at).map_err(Failure::setup)?;
        let (process, servers_max) = (Mutex::new(None), AtomicU64::new(0));
        let apart = Self { begin, log: log.to_owned(), triggers, reach, process, servers_max };
        apart.restart().await?;
        Ok(apart)
    }

    /// The platform as its neighbours reach it.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Starts it again, on the same folder and the same addresses, after it was killed.
    pub(crate) async fn restart(&self) -> Result<(), Failure> {
        let program = std::env::current_exe().map_err(Failure::setup)?;
        let mut command = Command::new(program);
        command.args(["chaos-platform", "--log", &self.log]).env(chaos::VARIABLE, &self.triggers);
        // Rooms are made to panic: where that was is no news, and finding out takes seconds in a debug build.
        command.env("RUST_BACKTRACE", "0");
        // A Ctrl-C is for this program alone, which then gives its orders; and the platform never outlives it.
        command.process_group(0).kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Failure::setup)?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::setup("the platform's process has no pipes"));
        };
        let mut process = Process { child, orders, answers: BufReader::new(answers).lines() };
        let begin = serde_json::to_string(&self.begin).expect("plain data");
        process.ask(&begin).await?;
        *self.process.lock().await = Some(process);
        Ok(())
    }

    /// Kills the process as a crash does; nothing in it hears of that.
    pub(crate) async fn kill(&self) -> Result<(), Failure> {
        let Some(mut process) = self.process.lock().await.take() else { return Ok(()) };
        process.child.kill().await.map_err(Failure::run)
    }

    /// The game servers' processes now.
    pub(crate) async fn servers(&self) -> Result<Vec<Server>, Failure> {
        match self.ask(&Order::Servers).await? {
            Answer::Servers { servers, most } => {
                self.servers_max.fetch_max(most, Ordering::Relaxed);
                Ok(servers)
            }
            Answer::Done | Answer::Failed(_) => Ok(Vec::new()),
        }
    }

    /// Most game-server processes at once, as far as seen.
    pub(crate) fn server_processes_max(&self) -> u64 {
        self.servers_max.load(Ordering::Relaxed)
    }

    /// Has something done.
    pub(crate) async fn order(&self, order: Order) -> Result<(), Failure> {
        self.ask(&order).await.map(drop)
    }

    async fn ask(&self, order: &Order) -> Result<Answer, Failure> {
        let mut process = self.process.lock().await;
        let process = process.as_mut().ok_or_else(|| Failure::run("the platform is down"))?;
        process.ask(&serde_json::to_string(order).expect("plain data")).await
    }

    /// Resolves when the process ends although nobody killed it.
    pub(crate) async fn failed(&self) -> Failure {
        loop {
            tokio::time::sleep(LOOK).await;
            // While an order is under way, whoever gave it hears of the end.
            let Ok(mut process) = self.process.try_lock() else { continue };
            let ended = process.as_mut().and_then(|process| process.child.try_wait().ok().flatten());
            if let Some(status) = ended {
                return Failure::run(format!("the platform ended by itself ({status}); its log says why"));
            }
        }
    }

    /// Ends it in the order that loses nothing; `hurry` ends the running matches.
    pub(crate) async fn drain(self, hurry: &service::Shutdown) -> Result<(), Failure> {
        let Some(mut process) = self.process.into_inner() else { return Ok(()) };
        process.say(&serde_json::to_string(&Order::Drain).expect("plain data")).await?;
        let answer = tokio::select! {
            answer = process.hear() => answer,
            () = hurry.wait() => {
                process.say(&serde_json::to_string(&Order::Hurry).expect("plain data")).await?;
                process.hear().await
            }
        };
        answer?;
        process.child.wait().await.map_err(Failure::run).map(drop)
    }
}

impl Process {
    async fn ask(&mut self, line: &str) -> Result<Answer, Failure> {
        self.say(line).await?;
        let answer = tokio::time::timeout(ANSWER, self.hear()).await;
        answer.map_err(|_| Failure::run(format!("the platform does not answer within {ANSWER:?}")))?
    }

    async fn say(&mut self, line: &str) -> Result<(), Failure> {
        let line = format!("{line}\n");
        self.orders
            .write_all(line.as_bytes())
            .await
            .map_err(|error| Failure::run(format!("the platform is gone: {error}")))
    }

    async fn hear(&mut self) -> Result<Answer, Failure> {
        let line = self.answers.next_line().await.map_err(Failure::run)?;
        let line = line.ok_or_else(|| Failure::run("the platform ended by itself; its log says why"))?;
        match serde_json::from_str(&line).map_err(Failure::run)? {
            Answer::Failed(why) => Err(Failure::run(why)),
            answer => Ok(answer),
        }
    }
}

/// Three pairs of free ports on this machine.
pub(super) fn free_addresses(random: &mut Random) -> Result<[SocketAddr; 3], Failure> {
    let mut held = Vec::new();
    let mut found = Vec::new();
    for _ in 0..1_000 {
        let port = PORTS.start + 2 * u16::try_from(random.below(u32::from(PORTS.end - PORTS.start) / 2)).unwrap_or(0);
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if let (Ok(one), Ok(next)) = (TcpListener::bind(at(port)), TcpListener::bind(at(port + 1))) {
            held.extend([one, next]);
            found.push(at(port));
        }
        if let [metagame, allocator, matchmaker] = found[..] {
            return Ok([metagame, allocator, matchmaker]);
        }
    }
    Err(Failure::setup(format!("there are no free ports from {} to {}", PORTS.start, PORTS.end)))
}
