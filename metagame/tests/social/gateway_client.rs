//! A client of the gateway, down to the bytes: no library that the server uses as well.

use std::collections::VecDeque;
use std::net::SocketAddr;

use prost::Message as _;
use protocol::pb;
use protocol::pb::gateway_envelope::Body;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection to the gateway.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
    kept: VecDeque<pb::GatewayEnvelope>,
    /// The highest numbers that were received.
    pub(crate) last_seq: u64,
    pub(crate) last_inbox: u64,
    pub(crate) token: Vec<u8>,
    next_id: u64,
}

impl Client {
    /// A WebSocket without a first message; the head of the answer where it is refused.
    pub(crate) async fn connect(address: SocketAddr, headers: &str) -> Result<Self, String> {
        let mut stream = TcpStream::connect(address).await.expect("the gateway listens");
        let head = format!(
            "GET /v1/gateway HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: muster.v1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.expect("an answer"));
        }
        let answer = String::from_utf8(answer).expect("text");
        if !answer.starts_with("HTTP/1.1 101") {
            return Err(answer);
        }
        // RFC 6455's own example of a key.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        Ok(Self {
            stream,
            read: Vec::new(),
            kept: VecDeque::new(),
            last_seq: 0,
            last_inbox: 0,
            token: Vec::new(),
            next_id: 1,
        })
    }

    /// A session of whoever has this access token.
    pub(crate) async fn hello(address: SocketAddr, access: &str) -> Self {
        let mut client = Self::connect(address, "").await.expect("a WebSocket");
        let proof = pb::gateway_hello::Proof::AccessToken(access.into());
        client.send(Body::Hello(pb::GatewayHello { version: 1, proof: Some(proof) })).await;
        let Body::Welcome(welcome) = client.receive().await.expect("an answer") else { panic!("no welcome") };
        assert!(!welcome.resumed);
        client.token = welcome.resume_token;
        client
    }

    /// Goes on with a session over a new connection; the problem's type where that is refused.
    pub(crate) async fn resume(self, address: SocketAddr) -> Result<(Self, bool), String> {
        let Self { last_seq, last_inbox, token, .. } = self;
        drop(self.stream);
        let mut client = Self::connect(address, "").await.expect("a WebSocket");
        (client.last_seq, client.last_inbox) = (last_seq, last_inbox);
        let resume =
            pb::GatewayResume { version: 1, token, last_seq, last_inbox_seq: last_inbox, access_token: String::new() };
        client.send(Body::Resume(resume)).await;
        match client.receive().await.expect("an answer") {
            Body::Welcome(welcome) => {
                client.token = welcome.resume_token;
                Ok((client, welcome.resumed))
            }
            Body::Problem(problem) => Err(problem.r#type),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, body: Body) {
        let correlation_id = self.next_id;
        self.next_id += 1;
        let bytes = pb::GatewayEnvelope { correlation_id, seq: 0, body: Some(body) }.encode_to_vec();
        self.send_frame(0x82, &bytes).await;
    }

    /// A masked frame; what cannot be written any more is the test's business.
    pub(crate) async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        if payload.len() < 126 {
            frame.push(0x80 | payload.len() as u8);
        } else {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(payload.len()).expect("a short frame").to_be_bytes());
        }
        let mask = [1, 2, 3, 4];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        let _ = self.stream.write_all(&frame).await;
    }

    /// Asks, and waits for the answer; what comes before it is kept.
    pub(crate) async fn ask(&mut self, body: Body) -> Body {
        let id = self.next_id;
        self.send(body).await;
        let mut before = VecDeque::new();
        loop {
            let envelope = self.envelope().await.expect("an answer");
            if envelope.correlation_id == id {
                self.kept.extend(before);
                return envelope.body.expect("a body");
            }
            before.push_back(envelope);
        }
    }

    /// The next message; `None`: the connection is over. Pings are answered on the way.
    pub(crate) async fn receive(&mut self) -> Option<Body> {
        let envelope = match self.kept.pop_front() {
            Some(envelope) => envelope,
            None => self.envelope().await?,
        };
        envelope.body
    }

    /// The first message that `wanted` knows.
    pub(crate) async fn until<T>(&mut self, wanted: impl Fn(&Body) -> Option<T>) -> T {
        let found = async {
            loop {
                let body = self.receive().await.expect("the connection lives");
                if let Some(found) = wanted(&body) {
                    return found;
                }
            }
        };
        tokio::time::timeout(testkit::wait::PATIENCE, found).await.expect("the message comes")
    }

    async fn envelope(&mut self) -> Option<pb::GatewayEnvelope> {
        loop {
            let (opcode, payload) = self.frame().await?;
            if opcode != 2 {
                return None;
            }
            let envelope = pb::GatewayEnvelope::decode(&*payload).expect("an envelope");
            assert!(envelope.seq == 0 || envelope.seq > self.last_seq, "{} after {}", envelope.seq, self.last_seq);
            self.last_seq = self.last_seq.max(envelope.seq);
            match &envelope.body {
                Some(Body::Ping(_)) => {
                    self.send(Body::Pong(pb::GatewayPong {})).await;
                    continue;
                }
                Some(Body::Inbox(message)) => {
                    assert!(message.inbox_seq > self.last_inbox, "twice");
                    self.last_inbox = message.inbox_seq;
                }
                _ => {}
            }
            return Some(envelope);
        }
    }

    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, payload, length)) = whole(&self.read) {
                self.read.drain(..length);
                return Some((opcode, payload));
            }
            let mut some = [0; 4_096];
            let count = self.stream.read(&mut some).await.ok().filter(|count| *count > 0)?;
            self.read.extend_from_slice(&some[..count]);
        }
    }
}

/// The first frame of a server: opcode, payload, and how long it is in all.
fn whole(read: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (&first, &second) = (read.first()?, read.get(1)?);
    let (start, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes(*read.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*read.get(2..)?.first_chunk()?) as usize),
        short => (2, usize::from(short)),
    };
    let payload = read.get(start..start + length)?;
    Some((first & 0x0F, payload.to_vec(), start + length))
}
