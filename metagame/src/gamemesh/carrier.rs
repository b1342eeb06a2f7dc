//! Their WebSocket as a connection of the gateway: text both ways, translated from and to envelopes.
//!
//! The gateway's session does the rest: it ends with the account's session, it is pinged, it hears of the player's tickets.
//! Rooms are not the session's business: what is said in them goes to the socket from here.

use std::collections::VecDeque;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use protocol::id::PlayerId;
use protocol::pb::gateway_envelope::Body;
use protocol::pb::{self, TicketState};

use crate::app::App;
use crate::core::gamemesh::{self, MATCH_NEWS_LIFE_MS, RoomAct};
use crate::gateway::carrier::{Broken, Carrier};
use crate::gateway::fanout::News;
use crate::gateway::message::envelope;
use crate::gateway::rooms::Member;

/// A connection.
pub(crate) struct GameMeshWeb {
    web: WebSocket,
    app: App,
    player: PlayerId,
    member: Member,
    /// What the gateway shall read next.
    said: VecDeque<Vec<u8>>,
    /// What was taken from the rooms and is not on its way yet: receiving may be broken off at any time.
    waiting: Option<Message>,
    unflushed: bool,
    is_over: bool,
    /// The match that the client was told of last.
    told: String,
}

impl GameMeshWeb {
    /// The connection of a player, which proves itself to the gateway by a one-time `ticket`.
    pub(crate) fn new(web: WebSocket, app: App, player: PlayerId, ticket: String) -> Self {
        let proof = Some(pb::gateway_hello::Proof::Ticket(ticket));
        let hello = envelope(1, Body::Hello(pb::GatewayHello { version: 1, proof }));
        let member = app.hub.rooms.enter();
        let (said, told) = (VecDeque::from([hello]), String::new());
        Self { web, app, player, member, said, waiting: None, unflushed: false, is_over: false, told }
    }

    /// Hands on what waits.
    async fn pass_on(&mut self) -> Result<(), Broken> {
        if let Some(message) = &self.waiting {
            let message = message.clone();
            self.web.feed(message).await.map_err(|_| Broken::Gone)?;
            (self.waiting, self.unflushed) = (None, true);
        }
        if self.unflushed {
            self.web.flush().await.map_err(|_| Broken::Gone)?;
            self.unflushed = false;
        }
        Ok(())
    }

    fn act(&mut self, act: RoomAct) {
        let player = self.player.to_string();
        match act {
            RoomAct::Join(room) => {
                if self.member.join(&room) {
                    self.say(gamemesh::player_joined(&room, &player), room);
                }
            }
            RoomAct::Leave(room) => {
                if self.member.leave(&room) {
                    self.say(gamemesh::player_left(&room, &player), room);
                }
            }
        }
    }

    fn say(&self, text: String, room: String) {
        self.app.social.publish(News::Room { room, text });
    }

    /// What the client shall hear of a ticket.
    fn match_found(&mut self, ticket: &pb::GatewayTicket) -> Option<String> {
        let is_news = service::clock::unix_ms().saturating_sub(ticket.updated_at_ms) < MATCH_NEWS_LIFE_MS;
        let is_found = ticket.state == crate::api::ticket_state_name(TicketState::Completed);
        if !is_found || !is_news || self.told == ticket.match_id {
            return None;
        }
        self.told.clone_from(&ticket.match_id);
        let players: Vec<&str> = ticket.roster.iter().map(|entry| entry.player_id.as_str()).collect();
        Some(gamemesh::match_found(&ticket.match_id, &players))
    }

    /// The connection is over: so is its session, for nobody resumes it.
    fn over(&mut self) -> Result<Vec<u8>, Broken> {
        if std::mem::replace(&mut self.is_over, true) {
            return Err(Broken::Gone);
        }
        Ok(envelope(0, Body::Leave(pb::GatewayLeave {})))
    }
}

/// What tells the gateway that the client lives.
fn sign_of_life() -> Vec<u8> {
    envelope(0, Body::Pong(pb::GatewayPong {}))
}

impl Carrier for GameMeshWeb {
    async fn receive(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            if let Some(said) = self.said.pop_front() {
                return Ok(said);
            }
            if self.is_over || self.pass_on().await.is_err() {
                return self.over();
            }
            tokio::select! {
                message = self.web.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if let Some(act) = gamemesh::read(&text) {
                            self.act(act);
                        }
                        return Ok(sign_of_life());
                    }
                    Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => return Ok(sign_of_life()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return self.over(),
                },
                heard = self.member.heard() => {
                    self.waiting = heard.map(|text| Message::Text((&*text).into()));
                }
            }
        }
    }

    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Broken> {
        if self.is_over {
            return Err(Broken::Gone);
        }
        let envelope = pb::GatewayEnvelope::decode(bytes.as_slice()).map_err(|_| Broken::Gone)?;
        let message = match envelope.body {
            Some(Body::Ticket(ticket)) => self.match_found(&ticket).map(|text| Message::Text(text.into())),
            Some(Body::Ping(_)) => Some(Message::Ping(Vec::new().into())),
            // The rest is news that their clients do not know.
            _ => None,
        };
        match message {
            Some(message) => self.web.send(message).await.map_err(|_| Broken::Gone),
            None => Ok(()),
        }
    }

    async fn close(&mut self) {
        let frame = CloseFrame { code: close_code::NORMAL, reason: "".into() };
        let _ = self.web.send(Message::Close(Some(frame))).await;
    }
}

impl Drop for GameMeshWeb {
    fn drop(&mut self) {
        let player = self.player.to_string();
        for room in self.member.leave_all() {
            self.say(gamemesh::player_left(&room, &player), room);
        }
    }
}
