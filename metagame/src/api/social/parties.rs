//! Parties and private lobbies.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use protocol::id::{PartyId, PlayerId, TicketId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::private;
use crate::api::tickets::{TicketBody, new_ticket, permit_queue};
use crate::app::{App, network, too_many};
use crate::auth::Caller;
use crate::connections::Peer;
use crate::core::live::rule::Act;
use crate::core::social::code;
use crate::core::social::party::{PartyAct, PartyRefusal, Rtts, SIZE_DEFAULT, SIZE_MAX};
use crate::extract::{Body, Named};
use crate::gateway::fanout::News;
use crate::problem::{Problem, ProblemBody, UsualProblems};
use crate::rules::facts;
use crate::store::social::{Entrance, NewParty, PartyDone, PartyFault, PartyStep, PartyView};

/// Most regions that a member names.
const REGIONS_MAX: usize = 32;
/// Longest name of a region in bytes.
const REGION_BYTES_MAX: usize = 64;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(make))
        .routes(routes!(mine, leave))
        .routes(routes!(invite))
        .routes(routes!(invites))
        .routes(routes!(accept))
        .routes(routes!(decline))
        .routes(routes!(kick))
        .routes(routes!(hand_over))
        .routes(routes!(ready))
        .routes(routes!(queue))
        .routes(routes!(open, close))
        .routes(routes!(join_lobby))
}

/// A party to be made.
#[derive(Debug, Deserialize, ToSchema)]
struct NewPartyBody {
    /// Made by the client: sending the same id again gives the same party.
    #[schema(value_type = Uuid)]
    party_id: PartyId,
    /// Most members, 1 to 64; 8 if absent.
    #[serde(default)]
    size_max: Option<u32>,
    /// Whether it is a private lobby: whoever knows its code may join.
    #[serde(default)]
    open: bool,
}

/// A party as its members see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartyBody {
    #[schema(value_type = Uuid)]
    party_id: PartyId,
    /// Counts every change.
    version: u64,
    #[schema(value_type = Uuid)]
    leader_id: PlayerId,
    size_max: u32,
    /// By which anybody may join; null: by invitation alone.
    code: Option<String>,
    /// The ticket that stands for the members as they are.
    #[schema(value_type = Option<Uuid>)]
    ticket_id: Option<TicketId>,
    /// In the order in which they joined.
    members: Vec<MemberBody>,
}

/// A member of a party.
#[derive(Debug, Serialize, ToSchema)]
struct MemberBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    name: String,
    ready: bool,
}

impl From<PartyView> for PartyBody {
    fn from(view: PartyView) -> Self {
        let PartyView { party, names } = view;
        let member = |(member, name): (crate::core::social::party::Member, String)| MemberBody {
            player_id: member.player,
            name,
            ready: member.ready,
        };
        Self {
            party_id: party.id,
            version: party.version,
            leader_id: party.leader,
            size_max: party.size_max,
            code: party.code,
            ticket_id: party.ticket,
            members: party.members.into_iter().zip(names).map(member).collect(),
        }
    }
}

/// Names a player.
#[derive(Debug, Deserialize, ToSchema)]
struct PlayerBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
}

/// Invitations that a player has.
#[derive(Debug, Serialize, ToSchema)]
struct InvitesBody {
    invites: Vec<InviteBody>,
}

/// An invitation.
#[derive(Debug, Serialize, ToSchema)]
struct InviteBody {
    #[schema(value_type = Uuid)]
    party_id: PartyId,
    #[schema(value_type = Uuid)]
    from_id: PlayerId,
    from_name: String,
    /// Unix milliseconds.
    expires_at_ms: u64,
}

/// Whether a member wants to queue.
#[derive(Debug, Deserialize, ToSchema)]
struct ReadyBody {
    ready: bool,
    /// Round-trip times in milliseconds that this member measured, by region. The party gets the regions that all name.
    #[serde(default)]
    region_rtts: BTreeMap<String, u32>,
}

/// A request to be matched together.
#[derive(Debug, Deserialize, ToSchema)]
struct PartyTicketBody {
    /// Made by the client: sending the same id again gives the same ticket.
    #[schema(value_type = Uuid)]
    ticket_id: TicketId,
    queue: String,
    /// Build of the clients. Absent: any.
    #[serde(default)]
    build: Option<String>,
}

/// A code, as somebody typed it: case, spaces and hyphens do not matter.
#[derive(Debug, Deserialize, ToSchema)]
struct LobbyCodeBody {
    #[schema(example = "CDFG-HJKM")]
    code: String,
}

impl From<PartyFault> for Problem {
    fn from(fault: PartyFault) -> Self {
        let detail = fault.to_string();
        match fault {
            PartyFault::NoParty => Self::not_found("no-party", detail),
            PartyFault::InParty(party) => Self::conflict("in-party", detail).with("party_id", party.to_string()),
            PartyFault::UnknownPlayer => Self::not_found("unknown-player", detail),
            PartyFault::Unreachable => Self::forbidden("player-unreachable", detail),
            PartyFault::TooManyInvites => Self::conflict("list-full", detail),
            PartyFault::NotInvited => Self::forbidden("not-invited", detail),
            PartyFault::UnknownCode => Self::not_found("unknown-code", detail),
            PartyFault::Changed => Self::conflict("party-changed", detail),
            PartyFault::Refused(PartyRefusal::NotLeader) => Self::forbidden("not-leader", detail),
            PartyFault::Refused(PartyRefusal::NotMember) => Self::not_found("not-member", detail),
            PartyFault::Refused(PartyRefusal::Full) => Self::conflict("party-full", detail),
            PartyFault::Refused(PartyRefusal::Oneself) => Self::invalid("oneself", detail),
            PartyFault::Refused(PartyRefusal::NotReady) => Self::conflict("not-ready", detail),
        }
    }
}

/// Make a party
///
/// The maker leads it. A player is in one party at a time.
#[utoipa::path(post, path = "/v1/parties", operation_id = "make_party", tag = "social", security(("access_token" = [])), request_body = NewPartyBody,
    responses(UsualProblems, (status = 201, body = PartyBody),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "in-party with party_id")))]
async fn make(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<NewPartyBody>,
) -> Result<impl IntoResponse, Problem> {
    let size_max = body.size_max.unwrap_or(SIZE_DEFAULT);
    if !(1..=SIZE_MAX).contains(&size_max) {
        return Err(Problem::invalid("invalid-size", format!("a party has 1 to {SIZE_MAX} members")));
    }
    permit(&app, caller.player_id, "make", Some(body.party_id), Some(size_max)).await?;
    let code = body.open.then(|| code::code(service::random::bytes()));
    let (player, now_ms) = (caller.player_id, service::clock::unix_ms());
    let new = NewParty { player, party_id: body.party_id, size_max, code, now_ms };
    let done = app.store.make_party(new).await??;
    app.social.party_done(&done);
    Ok(private((StatusCode::CREATED, [(header::LOCATION, "/v1/parties/me")], Json(PartyBody::from(done.view)))))
}

/// The party that you are in
#[utoipa::path(get, path = "/v1/parties/me", operation_id = "own_party", tag = "social", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = PartyBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no-party")))]
async fn mine(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let view = app.store.party_of(caller.player_id).await?.ok_or(PartyFault::NoParty)?;
    Ok(private(Json(PartyBody::from(view))))
}

/// Leave your party
///
/// Its oldest member leads it then; the party of nobody is over. Being in none is no error.
#[utoipa::path(delete, path = "/v1/parties/me", operation_id = "leave_party", tag = "social", security(("access_token" = [])),
    responses(UsualProblems, (status = 204)))]
async fn leave(State(app): State<App>, caller: Caller) -> Result<StatusCode, Problem> {
    match step(&app, caller.player_id, PartyAct::Leave).await {
        Ok(_) | Err(Fault::Party(PartyFault::NoParty)) => Ok(StatusCode::NO_CONTENT),
        Err(fault) => Err(fault.into()),
    }
}

/// Invite a player
///
/// The invitation holds for 5 minutes; the invited finds it in its inbox. Repeating it changes nothing.
#[utoipa::path(post, path = "/v1/parties/me/invites", operation_id = "invite_to_party", tag = "social", security(("access_token" = [])), request_body = PlayerBody,
    responses(UsualProblems, (status = 204),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "player-unreachable")))]
async fn invite(State(app): State<App>, caller: Caller, Body(body): Body<PlayerBody>) -> Result<StatusCode, Problem> {
    permit(&app, caller.player_id, "invite", None, None).await?;
    let now_ms = service::clock::unix_ms();
    app.store.invite_to_party(caller.player_id, body.player_id, now_ms).await??;
    app.social.publish(News::Inbox(vec![body.player_id]));
    Ok(StatusCode::NO_CONTENT)
}

/// Invitations that you have
#[utoipa::path(get, path = "/v1/players/me/party-invites", operation_id = "party_invites", tag = "social", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = InvitesBody)))]
async fn invites(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let found = app.store.party_invites(caller.player_id, service::clock::unix_ms()).await?;
    let invite = |one: crate::store::social::InviteView| InviteBody {
        party_id: one.party_id,
        from_id: one.from_id,
        from_name: one.from_name,
        expires_at_ms: one.expires_at_ms,
    };
    Ok(private(Json(InvitesBody { invites: found.into_iter().map(invite).collect() })))
}

/// Accept an invitation
#[utoipa::path(post, path = "/v1/parties/{id}/accept", operation_id = "accept_invite", tag = "social", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = PartyBody),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "in-party with party_id, or party-full")))]
async fn accept(
    State(app): State<App>,
    caller: Caller,
    Named(party_id): Named<PartyId>,
) -> Result<impl IntoResponse, Problem> {
    permit(&app, caller.player_id, "join", Some(party_id), None).await?;
    let now_ms = service::clock::unix_ms();
    let done = app.store.join_party(caller.player_id, Entrance::Invitation(party_id), now_ms).await??;
    app.social.party_done(&done);
    Ok(private(Json(PartyBody::from(done.view))))
}

/// Decline an invitation
#[utoipa::path(post, path = "/v1/parties/{id}/decline", operation_id = "decline_invite", tag = "social", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 204)))]
async fn decline(
    State(app): State<App>,
    caller: Caller,
    Named(party_id): Named<PartyId>,
) -> Result<StatusCode, Problem> {
    app.store.decline_party(caller.player_id, party_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send a member away
#[utoipa::path(delete, path = "/v1/parties/me/members/{id}", operation_id = "kick_from_party", tag = "social", security(("access_token" = [])),
    params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = PartyBody),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "not-leader")))]
async fn kick(
    State(app): State<App>,
    caller: Caller,
    Named(other): Named<PlayerId>,
) -> Result<impl IntoResponse, Problem> {
    let done = step(&app, caller.player_id, PartyAct::Kick(other)).await?;
    Ok(private(Json(PartyBody::from(done.view))))
}

/// Make another member the leader
#[utoipa::path(put, path = "/v1/parties/me/leader", operation_id = "hand_over_party", tag = "social", security(("access_token" = [])), request_body = PlayerBody,
    responses(UsualProblems, (status = 200, body = PartyBody),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "not-leader")))]
async fn hand_over(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<PlayerBody>,
) -> Result<impl IntoResponse, Problem> {
    let done = step(&app, caller.player_id, PartyAct::HandOver(body.player_id)).await?;
    Ok(private(Json(PartyBody::from(done.view))))
}

/// Say whether you are ready
///
/// The leader can queue once all are. Not being ready any more cancels the party's ticket.
#[utoipa::path(put, path = "/v1/parties/me/ready", operation_id = "say_ready", tag = "social", security(("access_token" = [])), request_body = ReadyBody,
    responses(UsualProblems, (status = 200, body = PartyBody)))]
async fn ready(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<ReadyBody>,
) -> Result<impl IntoResponse, Problem> {
    let done = step(&app, caller.player_id, PartyAct::Ready(body.ready, read_rtts(body.region_rtts)?)).await?;
    Ok(private(Json(PartyBody::from(done.view))))
}

fn read_rtts(rtts: BTreeMap<String, u32>) -> Result<Rtts, Problem> {
    if rtts.len() > REGIONS_MAX || rtts.keys().any(|name| name.len() > REGION_BYTES_MAX) {
        let detail = format!("at most {REGIONS_MAX} regions, with names of at most {REGION_BYTES_MAX} bytes");
        return Err(Problem::invalid("invalid-regions", detail));
    }
    Ok(rtts)
}

/// Queue the party
///
/// By its leader, once all are ready. A change of who is in the party, or a member that is not ready any more, cancels the ticket.
#[utoipa::path(post, path = "/v1/parties/me/ticket", operation_id = "queue_party", tag = "social", security(("access_token" = [])), request_body = PartyTicketBody,
    responses(UsualProblems, (status = 201, body = TicketBody),
        (status = 200, body = TicketBody, description = "The ticket existed"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "not-ready, party-changed, has-ticket, or in-match with player_id")))]
async fn queue(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<PartyTicketBody>,
) -> Result<impl IntoResponse, Problem> {
    let new = new_ticket(body.ticket_id, &body.queue, Vec::new(), body.build)?;
    permit_queue(&app, caller.player_id, &new, true).await?;
    let (ticket, created) = app.tickets.create_for_party(caller.player_id, new).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/v1/tickets/{}", ticket.ticket_id);
    Ok(private((status, [(header::LOCATION, location)], Json(TicketBody::from(ticket)))))
}

/// Open the party to whoever knows its code
///
/// Each time with a new code; the one before works no more.
#[utoipa::path(put, path = "/v1/parties/me/code", operation_id = "open_party", tag = "social", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = PartyBody)))]
async fn open(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let code = code::code(service::random::bytes());
    let done = step(&app, caller.player_id, PartyAct::Open(code)).await?;
    Ok(private(Json(PartyBody::from(done.view))))
}

/// Take the party's code away
#[utoipa::path(delete, path = "/v1/parties/me/code", operation_id = "close_party", tag = "social", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = PartyBody)))]
async fn close(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let done = step(&app, caller.player_id, PartyAct::Close).await?;
    Ok(private(Json(PartyBody::from(done.view))))
}

/// Join a private lobby
///
/// Ten tries a minute.
#[utoipa::path(post, path = "/v1/lobbies/join", tag = "social", security(("access_token" = [])), request_body = LobbyCodeBody,
    responses(UsualProblems, (status = 200, body = PartyBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "unknown-code")))]
async fn join_lobby(
    State(app): State<App>,
    caller: Caller,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Body(body): Body<LobbyCodeBody>,
) -> Result<impl IntoResponse, Problem> {
    let now_ms = service::clock::unix_ms();
    let counted = app.social.guess(caller.player_id, network(peer.0.ip()), now_ms);
    counted.map_err(|seconds| too_many("lobby code", seconds))?;
    let code = code::read(&body.code).ok_or(PartyFault::UnknownCode)?;
    permit(&app, caller.player_id, "join", None, None).await?;
    let done = app.store.join_party(caller.player_id, Entrance::Code(code), now_ms).await??;
    app.social.party_done(&done);
    Ok(private(Json(PartyBody::from(done.view))))
}

/// Asks the studio's rules, unless the player is in this party already: then nothing happens once more.
async fn permit(
    app: &App,
    player: PlayerId,
    action: &str,
    party: Option<PartyId>,
    size_max: Option<u32>,
) -> Result<(), Problem> {
    if !app.has_rules(Act::Party) {
        return Ok(());
    }
    if let Some(party) = party
        && app.store.party_of(player).await?.is_some_and(|view| view.party.id == party)
    {
        return Ok(());
    }
    let known = facts([("action", Some(action.into())), ("size_max", size_max.map(|size| u64::from(size).into()))]);
    app.permit(Act::Party, Some(player), known).await
}

/// Why a step was not taken.
enum Fault {
    Party(PartyFault),
    Other(Problem),
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Party(fault) => fault.into(),
            Fault::Other(problem) => problem,
        }
    }
}

async fn step(app: &App, player: PlayerId, act: PartyAct) -> Result<PartyDone, Fault> {
    let step = PartyStep { player, act, version: None, now_ms: service::clock::unix_ms() };
    let done = app.store.step_party(step).await.map_err(|error| Fault::Other(error.into()))?;
    let done = done.map_err(Fault::Party)?;
    app.social.party_done(&done);
    Ok(done)
}
