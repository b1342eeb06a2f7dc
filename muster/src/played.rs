//! The game that a platform on this machine plays: the reference game, a studio's own server program, or a server in
//! another language behind `muster agent`.

use std::path::{Path, PathBuf};
use std::process::Command;

use game::Schema;
use matchmaker::{QueueConfig, Queues};

use crate::cli::platform_variables;
use crate::exit::Failure;
use crate::platform::{demo_queues, queues};

/// Name of the fleet of the reference game, as queue files call it.
const ARENA_FLEET: &str = "arena";
/// Prints a game server's schema.
const PRINT_SCHEMA: &str = "--print-schema";

/// A game and its server program.
#[derive(Debug, Clone)]
pub(crate) struct PlayedGame {
    /// Name of its fleet, as queue files call it: the game's own name.
    pub(crate) fleet: String,
    /// Begin of a game server's command line.
    pub(crate) command: Vec<String>,
    /// What its bots must know; none for the reference game, which they know by heart.
    pub(crate) schema: Option<Schema>,
    /// Whether clients speak a protocol of the game's own.
    is_foreign: bool,
}

impl PlayedGame {
    /// The game of a server program, which is asked for its schema, or of an agent's settings file; the reference game
    /// where there is neither.
    pub(crate) fn of(program: Option<&Path>) -> Result<Self, Failure> {
        match program {
            Some(file) if file.extension().is_some_and(|extension| extension == "toml") => Self::foreign(file),
            Some(program) => Self::own(program),
            None => Self::arena(),
        }
    }

    fn arena() -> Result<Self, Failure> {
        let command = vec![own_program()?, "gameserver".to_owned()];
        Ok(Self { fleet: ARENA_FLEET.to_owned(), command, schema: None, is_foreign: false })
    }

    /// A server in another language. What else is in the file, and wrong, the agent says when it starts.
    fn foreign(file: &Path) -> Result<Self, Failure> {
        let fault = |what: String| {
            Failure::setup(format!("{} is no settings file of an agent: {what}", file.display()))
                .help("it needs at least fleet = \"the game's name\" and spawn = [\"program\", \"argument\"]")
        };
        let path = file.canonicalize().map_err(|error| fault(error.to_string()))?;
        let text = std::fs::read_to_string(&path).map_err(|error| fault(error.to_string()))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| fault(error.to_string()))?;
        let fleet =
            table.get("fleet").and_then(toml::Value::as_str).ok_or_else(|| fault("it names no fleet".into()))?;
        if !table.contains_key("spawn") {
            return Err(fault("it does not say how the game is started".into()));
        }
        let command = vec![own_program()?, "agent".to_owned(), format!("--config={}", path.display())];
        Ok(Self { fleet: fleet.to_owned(), command, schema: None, is_foreign: true })
    }

    /// The same, if bots can play it.
    pub(crate) fn for_bots(self) -> Result<Self, Failure> {
        if self.is_foreign {
            return Err(Failure::setup(
                "bots cannot play a game in another language: its clients speak their own protocol",
            )
            .help("muster up --game FILE keeps a platform with its servers running; send clients of the game's own"));
        }
        Ok(self)
    }

    fn own(program: &Path) -> Result<Self, Failure> {
        let fault = |what: String| {
            Failure::setup(format!("{} is no game server: {what}", program.display()))
                .help("--game takes the built program whose main is gameserver::main::<YourGame>()")
        };
        let program: PathBuf = program.canonicalize().map_err(|error| fault(error.to_string()))?;
        let mut command = Command::new(&program);
        for variable in platform_variables() {
            command.env_remove(variable);
        }
        let asked = command.arg(PRINT_SCHEMA).output().map_err(|error| fault(error.to_string()))?;
        if !asked.status.success() {
            let said = String::from_utf8_lossy(&asked.stderr);
            return Err(fault(format!("{PRINT_SCHEMA} ended with {}: {}", asked.status, said.trim())));
        }
        let schema = schema_of(&asked.stdout).map_err(|error| fault(format!("{PRINT_SCHEMA} printed {error}")))?;
        let fleet = schema.game.clone();
        Ok(Self { fleet, command: vec![program.display().to_string()], schema: Some(schema), is_foreign: false })
    }

    /// The queues of a file, or one that fits the game; all of them for this game's fleet.
    pub(crate) fn queues(&self, file: Option<&Path>, match_seconds: Option<u32>) -> Result<Queues, Failure> {
        let is_arena = self.schema.is_none() && !self.is_foreign;
        let queues = match (file, is_arena) {
            (None, false) => duel(&self.fleet, match_seconds)?,
            (None, true) => match_seconds.map_or_else(|| queues(None), demo_queues)?,
            (Some(file), _) => queues(Some(file))?,
        };
        match queues.as_slice().iter().find(|queue| queue.fleet != self.fleet) {
            None => Ok(queues),
            Some(QueueConfig { name, fleet, .. }) => Err(Failure::setup(format!(
                "the queue \"{name}\" plays on the fleet \"{fleet}\", but this platform's fleet is \"{}\"",
                self.fleet
            ))
            .help("a fleet on one machine has the name of its game: write it into the queue file as `fleet`")),
        }
    }
}

fn own_program() -> Result<String, Failure> {
    let program = std::env::current_exe();
    let program = program.map_err(|error| Failure::setup(format!("cannot find this program's own file: {error}")))?;
    Ok(program.display().to_string())
}

/// The schema that a game server printed.
fn schema_of(printed: &[u8]) -> Result<Schema, String> {
    let text = String::from_utf8_lossy(printed);
    let bytes = hex::decode(text.trim()).map_err(|_| "something else than hex digits".to_owned())?;
    Schema::from_bytes(&bytes).map_err(|error| error.to_string())
}

/// A queue for a game that brings none.
fn duel(game: &str, match_seconds: Option<u32>) -> Result<Queues, Failure> {
    let seconds = match_seconds.map_or_else(String::new, |seconds| format!("settings = {{ seconds = {seconds} }}\n"));
    let text = format!(
        "[[queue]]\nname = \"{game}-1v1\"\nfleet = \"{game}\"\nteams = 2\nplayers_per_team = 1\n\
         regions = [\"local\"]\nticket_timeout_s = 120\n{seconds}"
    );
    Queues::parse("queue for --game", &text)
        .map_err(|error| Failure::setup(error).help("write a queue file for the game and name it with --queues"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_without_queue_file_gets_a_duel_on_its_own_fleet() {
        let queues = duel("coins", Some(7)).expect("sound");
        let queue = &queues.as_slice()[0];
        assert_eq!((queue.name.as_str(), queue.fleet.as_str(), queue.players()), ("coins-1v1", "coins", 2));
        assert!(queue.settings_json.contains('7'), "{}", queue.settings_json);
    }

    #[test]
    fn a_program_that_prints_no_schema_is_no_game_server() {
        let error = format!("{:?}", PlayedGame::of(Some(Path::new("/bin/true"))).expect_err("prints nothing"));
        assert!(error.contains("no game server"), "{error}");
        assert!(PlayedGame::of(Some(Path::new("/no/such/program"))).is_err());
    }

    #[test]
    fn a_settings_file_of_an_agent_is_a_game_that_bots_cannot_play() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python-server/agent.toml");
        let game = PlayedGame::of(Some(&example)).expect("the example is sound");
        assert_eq!((game.fleet.as_str(), game.command[1].as_str()), ("clicks", "agent"));
        assert_eq!(game.queues(None, None).expect("a duel").as_slice()[0].fleet, "clicks");
        assert!(game.for_bots().is_err());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("agent.toml");
        for (text, missing) in [("spawn = [\"x\"]", "fleet"), ("fleet = \"x\"", "started"), ("fleet =", "TOML")] {
            std::fs::write(&file, text).expect("write");
            let error = format!("{:?}", PlayedGame::of(Some(&file)).expect_err(text));
            assert!(error.contains(missing), "{text}: {error}");
        }
    }

    #[test]
    fn a_queue_for_another_fleet_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("queues.toml");
        std::fs::write(&file, include_str!("../queues.toml").replace("\"arena\"", "\"chess\"")).expect("write");
        let arena = PlayedGame::of(None).expect("this program");
        let error = format!("{:?}", arena.queues(Some(&file), None).expect_err("another fleet"));
        assert!(error.contains("chess") && error.contains("arena"), "{error}");
        assert!(arena.queues(None, Some(7)).is_ok());
    }
}
