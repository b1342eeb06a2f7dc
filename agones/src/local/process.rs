//! One operating-system process with its group: started, asked to end, killed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::Lifeline;
use crate::lifeline;

/// Runs the command in its place and kills the whole group when standard input ends. SIGTERM reaches the command
/// through the group; the shell itself outlasts it. Signals are spelled out because `kill 0` means the group.
const SUPERVISOR: &str = r#"
trap : TERM
exec 3<&0
"$@" 3<&- </dev/null &
command=$!
( trap '' TERM; read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 &
wait $command; code=$?
while kill -0 $command 2>/dev/null; do wait $command; code=$?; done
exit $code
"#;

/// What a process is started with.
#[derive(Debug)]
pub struct Launch {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables on top of those of this process.
    pub env: BTreeMap<String, String>,
    /// Names of variables of this process that the command does not get.
    pub env_hidden: Vec<String>,
    /// Where it runs; `None`: where this process does.
    pub folder: Option<PathBuf>,
    /// How it learns that this process was killed.
    pub lifeline: Lifeline,
}

/// A running process. Dropping it kills its whole group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Option<Pid>,
    /// The provider's end of the lifeline: never written to, closed by dropping it.
    _lifeline: Option<ChildStdin>,
}

impl Process {
    /// Starts the command in a process group of its own, so that Ctrl-C at a terminal reaches the provider alone and
    /// a kill reaches whatever the command started.
    ///
    /// # Errors
    /// The system's, such as a program that does not exist. With [`Lifeline::Supervised`] that one shows as exit status 127.
    pub fn start(launch: &Launch) -> std::io::Result<(Self, ChildStdout, ChildStderr)> {
        let program = launch.command.first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut command = match launch.lifeline {
            Lifeline::Watched => Command::new(program),
            Lifeline::Supervised => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", SUPERVISOR, "supervisor", program]);
                command
            }
        };
        for name in &launch.env_hidden {
            command.env_remove(name);
        }
        match launch.lifeline {
            Lifeline::Watched => command.env(lifeline::VARIABLE, lifeline::STDIN),
            // Its standard input is empty: a command that does know lifelines would take that for the end.
            Lifeline::Supervised => command.env_remove(lifeline::VARIABLE),
        };
        if let Some(folder) = &launch.folder {
            command.current_dir(folder);
        }
        let mut child = command
            .args(&launch.command[1..])
            .envs(&launch.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let process = Self { _lifeline: child.stdin.take(), child, group };
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(std::io::Error::other("the process has no output pipes"));
        };
        Ok((process, stdout, stderr))
    }

    /// Its process id; `None` once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Resolves when the process has ended, and then ends what it left behind in its group. Safe to drop and to call
    /// again.
    ///
    /// # Errors
    /// The system's.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.kill_group();
        // The group's number may be given to someone else from here on.
        self.group = None;
        status
    }

    /// Asks the process to end: SIGTERM, to the group where a supervisor stands between.
    pub fn terminate(&self, lifeline: Lifeline) {
        // An error means that it has ended already.
        let Some(pid) = self.group.filter(|_| self.child.id().is_some()) else { return };
        let _ = match lifeline {
            Lifeline::Watched => kill_process(pid, Signal::TERM),
            Lifeline::Supervised => kill_process_group(pid, Signal::TERM),
        };
    }

    /// Ends the process and its group at once.
    pub fn kill_group(&self) {
        if let Some(group) = self.group {
            // An error means that nobody is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shell(script: &str, lifeline: Lifeline) -> (Process, ChildStdout, ChildStderr) {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Process::start(&Launch {
            command,
            env: BTreeMap::new(),
            env_hidden: vec!["HOME".into()],
            folder: None,
            lifeline,
        })
        .unwrap()
    }

    async fn soon<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), what).await.expect("in time")
    }

    /// Everyone who holds the pipe has ended when it reads end-of-file.
    async fn until_all_ended(mut stdout: ChildStdout) {
        soon(tokio::io::copy(&mut stdout, &mut tokio::io::sink())).await.unwrap();
    }

    #[tokio::test]
    async fn dropping_a_process_ends_what_it_started_too() {
        let (process, stdout, _stderr) = shell("sleep 1000 & sleep 1000", Lifeline::Watched);
        drop(process);
        until_all_ended(stdout).await;
    }

    #[tokio::test]
    async fn what_a_process_leaves_behind_ends_with_it() {
        let (mut process, stdout, _stderr) = shell("sleep 1000 & exit 3", Lifeline::Watched);
        assert_eq!(soon(process.wait()).await.unwrap().code(), Some(3));
        until_all_ended(stdout).await;
    }

    #[tokio::test]
    async fn a_hidden_variable_does_not_reach_the_command() {
        // Hidden by `shell`; the second is not.
        let script = r#"echo "[$HOME] [${PATH:+path}]""#;
        let (_process, stdout, _stderr) = shell(script, Lifeline::Watched);
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(stdout));
        assert_eq!(soon(lines.next_line()).await.unwrap().as_deref(), Some("[] [path]"));
    }

    #[tokio::test]
    async fn the_supervisor_passes_on_the_exit_code() {
        let (mut process, ..) = shell("exit 7", Lifeline::Supervised);
        assert_eq!(soon(process.wait()).await.unwrap().code(), Some(7));
    }

    #[tokio::test]
    async fn the_supervisor_passes_on_sigterm_and_waits_for_a_command_that_takes_its_time() {
        let script = "trap 'sleep 0.3; echo over; exit 5' TERM; echo up; while :; do sleep 0.05; done";
        let (mut process, stdout, _stderr) = shell(script, Lifeline::Supervised);
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(stdout));
        assert_eq!(soon(lines.next_line()).await.unwrap().as_deref(), Some("up"));
        process.terminate(Lifeline::Supervised);
        assert_eq!(soon(lines.next_line()).await.unwrap().as_deref(), Some("over"));
        assert_eq!(soon(process.wait()).await.unwrap().code(), Some(5));
    }

    #[tokio::test]
    async fn the_supervisor_kills_a_command_that_ignores_its_lifeline() {
        let (mut process, stdout, _stderr) = shell("sleep 1000", Lifeline::Supervised);
        process._lifeline = None;
        until_all_ended(stdout).await;
        assert!(!soon(process.wait()).await.unwrap().success());
    }
}
