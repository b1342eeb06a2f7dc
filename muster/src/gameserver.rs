//! `muster gameserver`: one game server of the reference game.

pub(crate) mod chaos;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs it to its end. It reads its own arguments, settings file included, exactly as a studio's server does.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match std::env::var_os(chaos::VARIABLE) {
        Some(_) => gameserver::main_from::<chaos::Fragile<arena::Arena>>(arguments),
        None => gameserver::main_from::<arena::Arena>(arguments),
    }
}
