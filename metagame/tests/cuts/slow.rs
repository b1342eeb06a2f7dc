//! A client that does not read: what the others hear meanwhile, and what becomes of its place.

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
    line: Line,
    token: Vec<u8>,
    last: u32,
    resyncs: u32,
    ticket: String,
}

impl Reader {
    async fn hello(access: String, ticket: String, line: Line) -> Self {
        let mut reader = Self { line, token: Vec::new(), last: 0, resyncs: 0, ticket };
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
        match envelope.body.expect("a body") {
            Body::Welcome(welcome) => self.token = welcome.resume_token,
            Body::Resync(_) => self.resyncs += 1,
            Body::Ticket(ticket) if ticket.ticket_id == self.ticket => {
                let number = ticket.estimated_wait_ms;
                assert!(self.resyncs > 0 || number <= 1 || number == self.last + 1, "{number} after {}", self.last);
                self.last = self.last.max(number);
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
}

/// By counts, and no clock: each of the others has heard everything, in order and at once, while the slow one has heard nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_costs_the_others_nothing() {
    let world = World::make(Gateways::One).await;
    let mut slow = Vec::new();
    for ear in [2, 3] {
        let line = Line::open_narrow(&world.doors(ear)[0]).await.expect("a connection");
        slow.push(Reader::hello(world.access(ear), world.ticket(ear), line).await);
    }
    let mut others = Vec::new();
    for ear in [4, 5, 6, 7] {
        let line = Line::open_narrow(&world.doors(ear)[0]).await.expect("a connection");
        others.push(Reader::hello(world.access(ear), world.ticket(ear), line).await);
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
    for one in &slow {
        assert_eq!((one.last, one.resyncs), (0, 0), "it has read nothing");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_gives_its_place_back() {
    let harness = Harness::start_changed(|config, _| {
        config.parts.gateway.sockets_max = 1;
        config.parts.gateway.pulse = Pulse { ping_ms: 500, dead_ms: 1_000, ..Pulse::default() };
    })
    .await;
    let ada = harness.login(1).await;
    let ticket = harness.queue(&ada).await;
    let door = Door::Web(harness.address());
    let line = Line::open_narrow(&door).await.expect("a connection");
    let _deaf = Reader::hello(ada.access.clone(), ticket.clone(), line).await;
    let full = Line::open_narrow(&door).await.err().expect("there is one place");
    assert!(full.to_string().starts_with("HTTP/1.1 503"), "{full}");
    let reason = "r".repeat(BYTES);
    for number in 1..=MESSAGES {
        harness.matchmaker.change(&ticket, |ticket| {
            (ticket.estimated_wait_ms, ticket.reason) = (number, reason.clone());
        });
    }
    testkit::wait::until("its place is free", async || Line::open_narrow(&door).await.ok()).await;
}
