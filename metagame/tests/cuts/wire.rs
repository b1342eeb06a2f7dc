//! A client's socket that breaks after so many bytes, wherever a frame is then, at either end.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// Sockets that nobody serves any more and the server takes to be alive; more push the oldest out.
const GRAVES_MAX: usize = 16;
/// How long a client goes on that does not know yet that the server's end is gone.
const UNAWARE: Duration = Duration::from_millis(30);

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// The client closes; the server is told.
    Client,
    /// The client's machine resets it.
    Reset,
    /// The server's end is gone, and the client goes on writing into the void.
    Server,
    /// The client's end is gone and the server is not told: a middle box takes what it sends.
    Swallowed,
    /// The same, and nobody takes it.
    Deaf,
}

impl Cut {
    pub(crate) const ALL: [Self; 5] = [Self::Client, Self::Reset, Self::Server, Self::Swallowed, Self::Deaf];
}

/// When and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Bytes that can be read before it happens.
    pub(crate) read: usize,
    /// Bytes that can be written before.
    pub(crate) write: usize,
    pub(crate) how: Cut,
}

impl Plan {
    /// It holds.
    pub(crate) const NEVER: Self = Self { read: usize::MAX, write: usize::MAX, how: Cut::Client };
}

/// Sockets whose clients have gone without a word.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graves(Arc<Mutex<VecDeque<TcpStream>>>);

impl Graves {
    fn keep(&self, socket: TcpStream) {
        let mut graves = self.0.lock().expect("no panic under the lock");
        graves.push_back(socket);
        if graves.len() > GRAVES_MAX {
            graves.pop_front();
        }
    }
}

/// The socket.
pub(crate) struct Wire {
    socket: Option<TcpStream>,
    plan: Plan,
    graves: Graves,
    unaware: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(crate) fn new(socket: TcpStream, plan: Plan, graves: &Graves) -> Self {
        Self { socket: Some(socket), plan, graves: graves.clone(), unaware: None }
    }

    fn cut(&mut self) {
        let Some(mut socket) = self.socket.take() else { return };
        match self.plan.how {
            Cut::Client => drop(socket),
            Cut::Reset => socket.set_zero_linger().expect("a socket has a linger"),
            Cut::Server => self.unaware = Some(Box::pin(tokio::time::sleep(UNAWARE))),
            Cut::Swallowed => drop(tokio::spawn(async move {
                let mut void = [0; 4_096];
                while let Ok(1..) = socket.read(&mut void).await {}
            })),
            Cut::Deaf => self.graves.keep(socket),
        }
    }

    /// What a read on a dead socket comes to.
    fn poll_dead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(unaware) = &mut self.unaware {
            ready!(unaware.as_mut().poll(context));
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.plan.read == 0 {
            wire.cut();
        }
        let Some(socket) = &mut wire.socket else { return wire.poll_dead(context) };
        let mut some = [0; 2_048];
        let most = some.len().min(into.remaining()).min(wire.plan.read);
        let mut part = ReadBuf::new(&mut some[..most]);
        ready!(Pin::new(socket).poll_read(context, &mut part))?;
        wire.plan.read -= part.filled().len();
        into.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        if wire.plan.write == 0 {
            wire.cut();
        }
        let Some(socket) = &mut wire.socket else {
            // Whoever does not know yet takes it to be sent.
            let taken = if wire.unaware.is_some() { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) };
            return Poll::Ready(taken);
        };
        let most = bytes.len().min(wire.plan.write);
        let written = ready!(Pin::new(socket).poll_write(context, &bytes[..most]))?;
        wire.plan.write -= written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Some(socket) => Pin::new(socket).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Some(socket) => Pin::new(socket).poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}
