//! How a game server learns that its provider is gone, whatever killed it.
//!
//! The local provider starts each game server with a pipe as its standard input and keeps the other end open without
//! ever writing. When the provider ends, by SIGKILL too, the operating system closes that end and the server reads
//! end-of-file. A server that is not told to watch (no `MUSTER_LIFELINE`) leaves its input alone.

use std::future::Future;
use std::io::Read;

/// The environment variable by which the provider asks for a watch; its only value is [`STDIN`].
pub const VARIABLE: &str = "MUSTER_LIFELINE";
/// The value of [`VARIABLE`]: end when standard input ends.
pub const STDIN: &str = "stdin";

/// Whether this process was asked to end with its standard input.
pub fn is_requested() -> bool {
    std::env::var(VARIABLE).is_ok_and(|value| value == STDIN)
}

/// Resolves when the provider is gone; never, when no lifeline was asked for. Select on it from the first moment: a
/// server that first waits for its SDK server would wait for ever when the provider dies meanwhile.
///
/// Call it once: it reads the whole standard input, on a thread of its own, because a blocking read inside the
/// runtime would hold up its end.
pub fn watch() -> impl Future<Output = ()> + Send + 'static {
    let end = is_requested().then(|| until_end(std::io::stdin()));
    async move {
        match end {
            // An error means that the thread could not be started: then there is no lifeline to follow.
            Some(Ok(end)) => drop(end.await),
            Some(Err(error)) => {
                tracing::error!(%error, "failed to watch the provider's lifeline; this server may outlive it");
                std::future::pending::<()>().await;
            }
            None => std::future::pending::<()>().await,
        }
    }
}

fn until_end(mut input: impl Read + Send + 'static) -> std::io::Result<tokio::sync::oneshot::Receiver<()>> {
    let (alive, end) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("lifeline".into()).spawn(move || {
        let mut bytes = [0; 64];
        loop {
            match input.read(&mut bytes) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        drop(alive);
    })?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_lifeline_ends_when_the_other_end_closes_and_not_before() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut end = until_end(reader).unwrap();
        std::io::Write::write_all(&mut writer, b"still here").unwrap();
        assert!(matches!(end.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty)));
        drop(writer);
        assert!(end.await.is_err(), "the thread drops its side at end-of-file");
    }
}
