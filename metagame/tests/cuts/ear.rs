//! A client that is cut off again and again, goes on with its session each time, and counts what it hears.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use protocol::pb;
use protocol::pb::gateway_envelope::Body;

use super::board::{Board, Goal, Seen};
use super::chance::Chance;
use super::line::{Door, Line};
use super::wire::{Cut, Graves, Plan};

/// What was counted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Connections that broke, by how.
    pub(crate) cuts: BTreeMap<Cut, u64>,
    /// Of those: in the middle of a message, with messages that were not acknowledged, before the answer to a resume.
    pub(crate) mid_frame: u64,
    pub(crate) unacknowledged: u64,
    pub(crate) unanswered: u64,
    /// Resumes that were answered, by how.
    pub(crate) resumed: u64,
    pub(crate) gone: u64,
    /// Messages in order.
    pub(crate) ordered: u64,
    pub(crate) ordered_lost: u64,
    pub(crate) ordered_again: u64,
    /// Durable messages.
    pub(crate) durable: u64,
    pub(crate) durable_lost: u64,
    pub(crate) durable_again: u64,
    /// What was told twice under the same number, so that a client throws it away.
    pub(crate) repeated: u64,
    pub(crate) resyncs: u64,
    /// Times that the client heard to be in no party.
    pub(crate) partyless: u64,
    /// What the server said when it closed.
    pub(crate) closings: BTreeMap<String, u64>,
}

impl Figures {
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.values().sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (how, count) in &other.cuts {
            *self.cuts.entry(*how).or_default() += count;
        }
        for (why, count) in &other.closings {
            *self.closings.entry(why.clone()).or_default() += count;
        }
        for (sum, more) in [
            (&mut self.mid_frame, other.mid_frame),
            (&mut self.unacknowledged, other.unacknowledged),
            (&mut self.unanswered, other.unanswered),
            (&mut self.resumed, other.resumed),
            (&mut self.gone, other.gone),
            (&mut self.ordered, other.ordered),
            (&mut self.ordered_lost, other.ordered_lost),
            (&mut self.ordered_again, other.ordered_again),
            (&mut self.durable, other.durable),
            (&mut self.durable_lost, other.durable_lost),
            (&mut self.durable_again, other.durable_again),
            (&mut self.repeated, other.repeated),
            (&mut self.resyncs, other.resyncs),
            (&mut self.partyless, other.partyless),
        ] {
            *sum += more;
        }
    }
}

/// The client.
pub(crate) struct Ear {
    number: usize,
    /// The gateways that it may come to.
    doors: Vec<Door>,
    access: String,
    /// The ticket whose states are its ordered messages.
    ticket: String,
    board: Arc<Board>,
    chance: Chance,
    graves: Graves,
    token: Option<Vec<u8>>,
    last_seq: u64,
    last_inbox: u64,
    /// The newest numbers of the messages themselves.
    ordered: u64,
    durable: u64,
    presences: BTreeMap<String, Seen>,
    figures: Figures,
}

/// One connection of it.
struct Visit {
    line: Line,
    /// Something may be missing, as the server has said.
    has_gap: bool,
    unacknowledged: u64,
    next_id: u64,
}

impl Ear {
    pub(crate) fn new(
        number: usize,
        doors: Vec<Door>,
        access: String,
        ticket: String,
        board: &Arc<Board>,
        seed: u64,
    ) -> Self {
        Self {
            number,
            doors,
            access,
            ticket,
            board: Arc::clone(board),
            chance: Chance::new(seed),
            graves: Graves::default(),
            token: None,
            last_seq: 0,
            last_inbox: 0,
            ordered: 0,
            durable: 0,
            presences: BTreeMap::new(),
            figures: Figures::default(),
        }
    }

    /// Listens until it has heard everything.
    pub(crate) async fn listen(mut self) -> Figures {
        loop {
            let plan = self.plan();
            match self.visit(plan).await {
                Ok(()) => return self.figures,
                Err(_) if plan.read == usize::MAX && plan.write == usize::MAX => {}
                Err(_) => {
                    *self.figures.cuts.entry(plan.how).or_default() += 1;
                    self.board.cut();
                }
            }
            tokio::time::sleep(Duration::from_millis(self.chance.below(15))).await;
        }
    }

    /// Where the next connection breaks: mostly somewhere in what it tells, one time in four while it begins, each way.
    fn plan(&mut self) -> Plan {
        if self.board.goal().borrow().is_some() {
            return Plan::NEVER;
        }
        // The first one gets a session; what came before would be a hello without an answer.
        let floor = if self.token.is_none() { 6_000 } else { 0 };
        let how = Cut::ALL[self.chance.below(Cut::ALL.len() as u64) as usize];
        let most = if self.chance.once_in(4) { 700 } else { 6_000 };
        let bytes = floor + self.chance.below(most) as usize;
        if self.token.is_none() || self.chance.once_in(2) {
            Plan { read: bytes, write: usize::MAX, how }
        } else {
            // A client says a tenth of what it hears.
            Plan { read: usize::MAX, write: self.chance.below(most / 5) as usize + 200, how }
        }
    }

    /// One connection. `Ok`: everything was heard.
    async fn visit(&mut self, plan: Plan) -> io::Result<()> {
        let door = self.doors[self.chance.below(self.doors.len() as u64) as usize].clone();
        let line = Line::open(&door, plan, &self.graves).await?;
        let mut visit = Visit { line, has_gap: false, unacknowledged: 0, next_id: 1 };
        let heard = async {
            if !self.begin(&mut visit).await? {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            self.hear_on(&mut visit).await
        };
        let ended = heard.await;
        if ended.is_err() {
            self.figures.mid_frame += u64::from(visit.line.is_mid_frame());
            self.figures.unacknowledged += u64::from(visit.unacknowledged > 0);
        }
        ended
    }

    /// Says hello, or goes on. Returns whether it is let in.
    async fn begin(&mut self, visit: &mut Visit) -> io::Result<bool> {
        let first = match &self.token {
            None => {
                let proof = pb::gateway_hello::Proof::AccessToken(self.access.clone());
                Body::Hello(pb::GatewayHello { version: 1, proof: Some(proof) })
            }
            Some(token) => Body::Resume(pb::GatewayResume {
                version: 1,
                token: token.clone(),
                last_seq: self.last_seq,
                last_inbox_seq: self.last_inbox,
                access_token: String::new(),
            }),
        };
        visit.line.send(1, first).await?;
        let answer = visit.line.receive().await;
        if answer.is_err() && self.token.is_some() {
            self.figures.unanswered += 1;
        }
        match answer?.body {
            Some(Body::Welcome(welcome)) => {
                assert_eq!(welcome.resumed, self.token.is_some());
                self.figures.resumed += u64::from(welcome.resumed);
                if !welcome.resumed && self.figures.gone == 0 {
                    self.board.arrive();
                }
                self.token = Some(welcome.resume_token);
                Ok(true)
            }
            Some(Body::Problem(problem)) if problem.r#type.ends_with(":session-gone") => {
                (self.token, self.last_seq) = (None, 0);
                self.figures.gone += 1;
                Ok(false)
            }
            other => panic!("ear {}: {other:?}", self.number),
        }
    }

    async fn hear_on(&mut self, visit: &mut Visit) -> io::Result<()> {
        let mut goal = self.board.goal();
        let mut ack_at = 4 + self.chance.below(16);
        loop {
            if goal.borrow().as_ref().is_some_and(|goal| self.has_reached(goal)) {
                return Ok(());
            }
            let envelope = tokio::select! {
                envelope = visit.line.receive() => envelope?,
                changed = goal.changed() => {
                    changed.expect("the board stays");
                    continue;
                }
                () = tokio::time::sleep(testkit::wait::PATIENCE * 2) => {
                    panic!("ear {} hears nothing more: {}, {}, {:?}", self.number, self.ordered, self.durable, self.figures)
                }
            };
            self.hear(visit, envelope).await?;
            visit.unacknowledged += 1;
            if visit.unacknowledged >= ack_at {
                ack_at = 4 + self.chance.below(16);
                let ack = Body::Ack(pb::GatewayAck { seq: self.last_seq, inbox_seq: self.last_inbox });
                visit.next_id += 1;
                visit.line.send(visit.next_id, ack).await?;
                visit.unacknowledged = 0;
            }
        }
    }

    fn has_reached(&self, goal: &Goal) -> bool {
        let nobody = (pb::GatewayStatus::Offline, String::new());
        let presence = self.presences.get(&self.board.watched).unwrap_or(&nobody);
        self.ordered == goal.ordered && self.durable == goal.durable && *presence == goal.presence
    }

    async fn hear(&mut self, visit: &mut Visit, envelope: pb::GatewayEnvelope) -> io::Result<()> {
        if envelope.seq > 0 {
            if envelope.seq <= self.last_seq {
                self.figures.repeated += 1;
                return Ok(());
            }
            self.last_seq = envelope.seq;
        }
        match envelope.body.expect("a body") {
            Body::Inbox(message) => self.hear_inbox(&message),
            Body::Ticket(ticket) if ticket.ticket_id == self.ticket => {
                self.hear_ordered(u64::from(ticket.estimated_wait_ms), visit.has_gap);
            }
            Body::Presence(presence) => {
                let seen = (presence.status(), presence.text);
                self.presences.insert(presence.player_id, seen);
            }
            Body::Party(party) => self.figures.partyless += u64::from(party.party_id.is_empty()),
            Body::Resync(_) => {
                self.figures.resyncs += 1;
                visit.has_gap = true;
                // What is not told again is not there any more.
                self.presences.clear();
            }
            Body::Ping(_) => visit.line.send(visit.next_id, Body::Pong(pb::GatewayPong {})).await?,
            Body::Closing(closing) => *self.figures.closings.entry(closing.reason).or_default() += 1,
            Body::Problem(problem) => panic!("ear {}: {problem:?}", self.number),
            _ => {}
        }
        Ok(())
    }

    fn hear_inbox(&mut self, message: &pb::GatewayInboxMessage) {
        if message.inbox_seq <= self.last_inbox {
            self.figures.repeated += 1;
            return;
        }
        self.last_inbox = message.inbox_seq;
        if message.kind != "match_found" {
            return;
        }
        let body: serde_json::Value = serde_json::from_str(&message.body).expect("JSON");
        let number = self.board.match_number(body["match_id"].as_str().expect("a match"));
        self.figures.durable += 1;
        self.figures.durable_again += u64::from(number <= self.durable);
        self.figures.durable_lost += number.saturating_sub(self.durable + 1);
        self.durable = self.durable.max(number);
    }

    fn hear_ordered(&mut self, number: u64, has_gap: bool) {
        self.figures.ordered += 1;
        // Before the first there is the ticket itself.
        if !has_gap && number > 0 {
            self.figures.ordered_again += u64::from(number <= self.ordered);
            self.figures.ordered_lost += number.saturating_sub(self.ordered + 1);
        }
        self.ordered = self.ordered.max(number);
        self.board.heard(self.number, self.ordered);
    }
}
