//! What is done for all sessions at once, so that none needs a timer of its own: pings, deaths, the end of grace, tokens that
//! expire, and inboxes whose news got lost.

use std::sync::Arc;
use std::time::Duration;

use protocol::pb::gateway_envelope::Body;
use protocol::pb::{self, GatewayStatus};
use service::Shutdown;

use super::fanout::News;
use super::hub::ENDED;
use super::message::shared;
use super::session::{Closing, Session, State};
use crate::app::App;
use crate::core::gateway::pulse::{Beat, Pulse};

/// How often all sessions are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How often sessions are noted anew and the database is asked, in rounds: what inboxes hold, whose news can get lost between gateways, and which accounts'
/// sessions have ended, by a logout, a ban or another password.
const LOOK_EVERY: u32 = 30;
/// Sessions that one statement asks for.
const SESSIONS_AT_ONCE: usize = 500;
/// How long before its end a session is told to show a fresh token.
const EXPIRY_NOTICE_MS: u64 = 60_000;
/// Over how long clients that are sent away at shutdown come back.
const COME_BACK_WITHIN_MS: u64 = 10_000;

const IDLE: Closing = Closing { reason: "idle", resume: true, retry_after_ms: 0 };
const EXPIRED: Closing = Closing { reason: "expired", resume: true, retry_after_ms: 0 };

/// Looks after the sessions until shutdown, and then sends all of them away.
pub(crate) async fn look_after(app: App, shutdown: Shutdown) {
    let mut round = 0_u32;
    loop {
        tokio::select! {
            () = shutdown.wait() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
        let now_ms = service::clock::unix_ms();
        let sessions = app.hub.all();
        let over: Vec<_> = sessions.iter().filter(|session| look_at(&app, session, now_ms)).cloned().collect();
        end(&app, &over).await;
        for player in app.hub.presences.expire(now_ms, 100) {
            // Those of connected players do not expire.
            if let Ok(to) = app.store.friends_of(player).await {
                app.social.publish(offline(player, to));
            }
        }
        round = round.wrapping_add(1);
        if round.is_multiple_of(LOOK_EVERY) {
            let sessions = app.hub.all();
            keep(&app, &sessions).await;
            renew_presence(&app, &sessions, now_ms);
            compare_inboxes(&app, &sessions).await;
            end_logged_out(&app, &sessions).await;
        }
    }
    // Another gateway goes on with them, or the next process at this address.
    keep(&app, &app.hub.all()).await;
    for session in app.hub.all() {
        let jitter = service::random::u64() % COME_BACK_WITHIN_MS;
        let closing = Closing { reason: "drain", resume: true, retry_after_ms: jitter as u32 };
        session.set(|state| state.close(closing));
    }
    // The process may end once this returns; a connection that takes nothing is not waited for.
    for _ in 0..20 {
        if app.hub.all().iter().all(|session| session.lock().detached_at_ms.is_some()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a look at a session found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// Its connection has something to do.
    News,
    /// The session is over.
    Over,
}

/// Whether the session is over.
fn look_at(app: &App, session: &Session, now_ms: u64) -> bool {
    let found = look(&mut session.lock(), app.hub.settings.pulse, now_ms);
    if found == Found::News {
        session.wake.notify_one();
    }
    found == Found::Over
}

/// Under one lock, as a resume is: whoever comes back while this is decided is neither taken for dead nor let in to a session
/// that is over.
fn look(state: &mut State, pulse: Pulse, now_ms: u64) -> Found {
    if let Some(detached_at_ms) = state.detached_at_ms {
        if now_ms.saturating_sub(detached_at_ms) < pulse.grace_ms {
            return Found::Nothing;
        }
        state.close(ENDED);
        return Found::Over;
    }
    let expires_at_ms = state.expires_at_ms;
    let mut found = Found::Nothing;
    if now_ms >= expires_at_ms {
        state.close(EXPIRED);
        found = Found::News;
    } else if now_ms + EXPIRY_NOTICE_MS >= expires_at_ms && !state.expiry_told {
        state.expiry_told = true;
        state.push_ordered(shared(Body::Expiring(pb::GatewayExpiring { expires_at_ms })));
        found = Found::News;
    }
    match pulse.beat(now_ms, state.alive_ms, state.pinged_ms) {
        Beat::Fine => return found,
        Beat::Ping => {
            state.pinged_ms = now_ms;
            state.ping();
        }
        Beat::Dead => state.close(IDLE),
    }
    Found::News
}

/// Sessions are over: with the player's last one it is offline, unless that goes on at another gateway.
pub(super) async fn end(app: &App, sessions: &[Arc<Session>]) {
    if sessions.is_empty() {
        return;
    }
    sessions.iter().for_each(|session| app.hub.remove(session));
    let elsewhere = app.register.end(sessions).await;
    for session in sessions.iter().filter(|session| !elsewhere.contains(&session.id)) {
        if app.hub.of(session.player).is_empty() {
            let to = session.watchers();
            app.social.publish(offline(session.player, to));
        }
    }
}

/// Notes sessions as they are now, and lets go of those that another gateway has.
pub(super) async fn keep(app: &App, sessions: &[Arc<Session>]) {
    let moved = app.register.keep(sessions, &app.hub.presences, service::clock::unix_ms()).await;
    moved.iter().for_each(|session| app.hub.let_go(session));
}

fn offline(player: protocol::id::PlayerId, to: Vec<protocol::id::PlayerId>) -> News {
    News::Presence { player, status: GatewayStatus::Offline.into(), text: String::new(), to }
}

/// Presence of connected players holds as long as they are connected; other gateways hear of it again, too.
fn renew_presence(app: &App, sessions: &[Arc<Session>], now_ms: u64) {
    for session in sessions {
        if let Some(seen) = app.hub.presences.get(session.player, now_ms) {
            app.social.see(session.player, seen.status, &seen.text, Vec::new());
        }
    }
}

async fn compare_inboxes(app: &App, sessions: &[Arc<Session>]) {
    for some in sessions.chunks(SESSIONS_AT_ONCE) {
        let players: Vec<_> = some.iter().map(|session| session.player).collect();
        let Ok(heads) = app.store.inbox_heads(&players).await else { return };
        for (player, last_seq) in heads {
            for session in app.hub.of(player) {
                if session.lock().inbox_position() < last_seq {
                    session.set(State::look_inbox);
                }
            }
        }
    }
}

async fn end_logged_out(app: &App, sessions: &[Arc<Session>]) {
    for some in sessions.chunks(SESSIONS_AT_ONCE) {
        let ids: Vec<_> = some.iter().map(|session| session.account_session).collect();
        let Ok(living) = app.store.living_sessions(&ids).await else { return };
        let living: std::collections::HashSet<_> = living.into_iter().map(|session| session.0).collect();
        for session in some.iter().filter(|session| !living.contains(&session.account_session.0)) {
            session.set(|state| state.close(ENDED));
        }
    }
}
