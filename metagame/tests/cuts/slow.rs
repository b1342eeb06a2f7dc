//! A client that does not read: what the others hear meanwhile, what becomes of its place, and what it hears when it reads at last.

use metagame::core::gateway::pulse::Pulse;
use protocol::pb;
use protocol::pb::gateway_envelope::Body;

use super::harness::Harness;
use super::line::{Door, Line};
use super::world::{Gateways, World};

/// Messages that the others hear while one does not read.
const MESSAGES: u32 = 2_000;
/// Bytes of each, so that they fit into no system's buffers together.
const BYTES: usize = 2_000;

/// A client at work.
struct Reader {
    door: Door,
    line: Line,
    /// What a resume takes.
    token: Vec<u8>,
    last_seq: u64,
    last: u32,
    resyncs: u32,
    resumes: u32,
    ticket: String,
}

impl Reader {
    async fn hello(access: String, ticket: String, door: Door) -> Self {
        let line = Line::open_narrow(&door).await.expect("a connection");
        let mut reader = Self { door, line, token: Vec::new(), last_seq: 0, last: 0, resyncs: 0, resumes: 0, ticket };
        let proof = pb::gateway_hello::Proof::AccessToken(access);
        let hello = Body::Hello(pb::GatewayHello { version: 1, proof: Some(proof) });
        reader.line.send(1, hello).await.expect("sent");
        while reader.token.is_empty() {
            reader.hear().await.expect("welcome");
        }
        reader
    }

    async fn hear(&mut self) -> std::io::Result<()> {
        let envelope = self.line.receive().await?;
        self.last_seq = self.last_seq.max(envelope.seq);
        match envelope.body.expect("a body") {
            Body::Welcome(welcome) => {
                assert!(self.token.is_empty() || welcome.resumed, "its session is there: {welcome:?}");
                self.resumes += u32::from(welcome.resumed);
                self.token = welcome.resume_token;
            }
            Body::Resync(_) => self.resyncs += 1,
            Body::Ticket(ticket) if ticket.ticket_id == self.ticket => {
                let number = ticket.estimated_wait_ms;
                assert!(self.resyncs > 0 || number <= 1 || number == self.last + 1, "{number} after {}", self.last);
                self.last = self.last.max(number);
            }
            Body::Problem(problem) => panic!("{problem:?}"),
            Body::Closing(closing) => {
                assert!(closing.resume, "it may come back: {closing:?}");
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
            Body::Ping(_) => self.line.send(2, Body::Pong(pb::GatewayPong {})).await?,
            _ => {}
        }
        Ok(())
    }

    async fn hear_until(&mut self, number: u32) -> std::io::Result<()> {
        while self.last < number {
            let heard = tokio::time::timeout(testkit::wait::PATIENCE * 2, self.hear()).await;
            heard.unwrap_or_else(|_| panic!("{number} does not come after {}", self.last))?;
        }
        Ok(())
    }

    /// Goes on where it was, once there is a place for it.
    async fn resume(&mut self) {
        self.line = testkit::wait::until("a place", async || Line::open_narrow(&self.door).await.ok()).await;
        let (token, last_seq, access_token) = (self.token.clone(), self.last_seq, String::new());
        let resume = pb::GatewayResume { version: 1, token, last_seq, last_inbox_seq: 0, access_token };
        // Whether it went out is seen where the answer is read.
        let _ = self.line.send(1, Body::Resume(resume)).await;
    }

    /// Reads on, over as many connections as that takes.
    async fn catch_up(&mut self, number: u32) {
        while self.hear_until(number).await.is_err() {
            self.resume().await;
        }
    }
}

/// By counts, and no clock: each of the others has heard everything, in order and at once, while the slow one has heard nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_costs_the_others_nothing() {
    let world = World::make(Gateways::One).await;
    let mut slow = Vec::new();
    for ear in [2, 3] {
        slow.push(Reader::hello(world.access(ear), world.ticket(ear), world.doors(ear).remove(0)).await);
    }
    let mut others = Vec::new();
    for ear in [4, 5, 6, 7] {
        others.push(Reader::hello(world.access(ear), world.ticket(ear), world.doors(ear).remove(0)).await);
    }
    let reason = "r".repeat(BYTES);
    for number in 1..=MESSAGES {
        for ear in 2..8 {
            world.harness.matchmaker.change(&world.ticket(ear), |ticket| {
                (ticket.estimated_wait_ms, ticket.reason) = (number, reason.clone());
            });
        }
        // The next is said once these have heard this one: whoever waited for the slow ones would wait for ever.
        for other in &mut others {
            other.hear_until(number).await.expect("the connection lives");
        }
    }
    let resyncs: u32 = others.iter().map(|other| other.resyncs).sum();
    assert_eq!(resyncs, 0, "nothing was given up for the others");
    for mut one in slow {
        assert_eq!((one.last, one.resyncs), (0, 0), "it has read nothing");
        one.catch_up(MESSAGES).await;
        assert!(one.resyncs > 0, "it was told that it missed something");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_gives_its_place_back_and_goes_on_when_it_takes_again() {
    let harness = Harness::start_changed(|config, _| {
        config.parts.gateway.sockets_max = 1;
        config.parts.gateway.pulse = Pulse { ping_ms: 500, dead_ms: 1_000, ..Pulse::default() };
    })
    .await;
    let ada = harness.login(1).await;
    let ticket = harness.queue(&ada).await;
    let door = Door::Web(harness.address());
    let mut deaf = Reader::hello(ada.access.clone(), ticket.clone(), door.clone()).await;
    let full = Line::open_narrow(&door).await.err().expect("there is one place");
    assert!(full.to_string().starts_with("HTTP/1.1 503"), "{full}");
    let reason = "r".repeat(BYTES);
    for number in 1..=MESSAGES {
        harness.matchmaker.change(&ticket, |ticket| {
            (ticket.estimated_wait_ms, ticket.reason) = (number, reason.clone());
        });
    }
    testkit::wait::until("its place is free", async || Line::open_narrow(&door).await.ok()).await;
    deaf.resume().await;
    deaf.catch_up(MESSAGES).await;
    assert!(deaf.resumes > 0 && deaf.resyncs > 0, "it went on, and was told that it missed something");
}
