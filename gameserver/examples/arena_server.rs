//! A studio's whole server program, here for the reference game: `cargo run -p gameserver --example arena_server -- --help`.

fn main() -> std::process::ExitCode {
    gameserver::main::<arena::Arena>()
}
