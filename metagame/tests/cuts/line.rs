//! A connection to the gateway, down to the bytes: as a WebSocket, or framed over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use prost::Message as _;
use protocol::pb;
use protocol::pb::gateway_envelope::Body;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::wire::{Graves, Plan, Wire};

/// The name on the certificate.
pub(crate) const NAME: &str = "gateway.example";

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A way into a gateway.
#[derive(Clone)]
pub(crate) enum Door {
    Web(SocketAddr),
    Tls(SocketAddr, Arc<rustls::ClientConfig>),
}

impl Door {
    /// The port of its own, if it shows this certificate.
    pub(crate) fn tls(address: SocketAddr, certificate: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Self::Tls(address, Arc::new(config.expect("versions").with_root_certificates(roots).with_no_client_auth()))
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Web(address) | Self::Tls(address, _) => *address,
        }
    }
}

/// The connection.
pub(crate) struct Line {
    stream: Box<dyn Stream>,
    is_web: bool,
    read: Vec<u8>,
}

impl Line {
    /// Opens one that breaks as planned.
    pub(crate) async fn open(door: &Door, plan: Plan, graves: &Graves) -> io::Result<Self> {
        let socket = TcpStream::connect(door.address()).await?;
        socket.set_nodelay(true)?;
        Self::over(Wire::new(socket, plan, graves), door).await
    }

    /// Opens one whose own system takes next to nothing before somebody reads.
    pub(crate) async fn open_narrow(door: &Door) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4_096)?;
        let socket = socket.connect(door.address()).await?;
        Self::over(Wire::new(socket, Plan::NEVER, &Graves::default()), door).await
    }

    async fn over(wire: Wire, door: &Door) -> io::Result<Self> {
        match door {
            Door::Web(address) => {
                let mut line = Self { stream: Box::new(wire), is_web: true, read: Vec::new() };
                line.upgrade(*address).await?;
                Ok(line)
            }
            Door::Tls(_, config) => {
                let name = ServerName::try_from(NAME).expect("a name");
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, wire).await?;
                Ok(Self { stream: Box::new(stream), is_web: false, read: Vec::new() })
            }
        }
    }

    async fn upgrade(&mut self, address: SocketAddr) -> io::Result<()> {
        let head = format!(
            "GET /v1/gateway HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: muster.v1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(self.stream.read_u8().await?);
        }
        if answer.starts_with(b"HTTP/1.1 101") {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()))
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, correlation_id: u64, body: Body) -> io::Result<()> {
        let bytes = pb::GatewayEnvelope { correlation_id, seq: 0, body: Some(body) }.encode_to_vec();
        let framed = if self.is_web { masked(&bytes) } else { protocol::gateway::frame(&bytes) };
        self.stream.write_all(&framed).await?;
        self.stream.flush().await
    }

    /// The next message. Dropping the future loses nothing.
    pub(crate) async fn receive(&mut self) -> io::Result<pb::GatewayEnvelope> {
        loop {
            let whole = if self.is_web { web_frame(&self.read) } else { length_frame(&self.read) };
            if let Some((is_message, payload, length)) = whole {
                self.read.drain(..length);
                if !is_message {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                return Ok(pb::GatewayEnvelope::decode(&*payload).expect("an envelope"));
            }
            let mut some = [0; 4_096];
            let count = self.stream.read(&mut some).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.read.extend_from_slice(&some[..count]);
        }
    }

    /// Whether a part of a message has come.
    pub(crate) fn is_mid_frame(&self) -> bool {
        !self.read.is_empty()
    }
}

fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82];
    if payload.len() < 126 {
        frame.push(0x80 | payload.len() as u8);
    } else {
        frame.push(0x80 | 126);
        frame.extend_from_slice(&u16::try_from(payload.len()).expect("a short frame").to_be_bytes());
    }
    let mask = [1, 2, 3, 4];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame of a WebSocket server: whether it is a message, its payload, and its length in all.
fn web_frame(read: &[u8]) -> Option<(bool, Vec<u8>, usize)> {
    let (&first, &second) = (read.first()?, read.get(1)?);
    let (start, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes(*read.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*read.get(2..)?.first_chunk()?) as usize),
        short => (2, usize::from(short)),
    };
    let payload = read.get(start..start + length)?;
    Some((first & 0x0F == 2, payload.to_vec(), start + length))
}

fn length_frame(read: &[u8]) -> Option<(bool, Vec<u8>, usize)> {
    let length = u32::from_be_bytes(*read.first_chunk()?) as usize;
    Some((true, read.get(4..4 + length)?.to_vec(), 4 + length))
}
