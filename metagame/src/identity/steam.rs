//! Asking Steam whose ticket it is. The publisher's key travels in the query, as Steam wants it: nothing here shows an
//! address.

use axum::http::Uri;

use super::settings::{SecretText, SteamSettings};
use crate::core::form::form_urlencode;
use crate::core::steam::{Owner, Refusal, Ticket, Verdict};
use crate::outgoing::{AddressFault, Destination, Outgoing, Request};
use crate::problem::Problem;

const PATH: &str = "/ISteamUserAuth/AuthenticateUserTicket/v1/";
/// When whoever found Steam away may come back, in seconds.
const BACK_S: u64 = 5;

/// The way to Steam.
#[derive(Debug)]
pub(crate) struct Steam {
    settings: SteamSettings,
    destination: Destination,
}

impl Steam {
    /// # Errors
    /// [`AddressFault`] if its address is not called.
    pub(crate) fn new(settings: SteamSettings, outgoing: &Outgoing) -> Result<Self, AddressFault> {
        let destination = outgoing.destination("steam");
        destination.check(&settings.address)?;
        Ok(Self { settings, destination })
    }

    /// Whose ticket it is, if they may log in.
    pub(crate) async fn authenticate(&self, ticket: &Ticket) -> Result<Owner, Problem> {
        let answer = self.destination.send(Request::get(self.url(ticket))).await.map_err(|error| {
            tracing::debug!(%error, "steam does not answer");
            away()
        })?;
        match answer.status.as_u16() {
            200 => {}
            401 | 403 => {
                tracing::error!(
                    "steam refuses the publisher key: put one of this game's publisher into publisher_key_file"
                );
                return Err(away());
            }
            status => {
                tracing::warn!(status, "steam is out of order");
                return Err(away());
            }
        }
        match Verdict::read(&answer.body) {
            Verdict::Good(owner) => match self.settings.rules.judge(&owner) {
                None => Ok(owner),
                Some(refusal) => Err(refused(refusal)),
            },
            Verdict::Refused(code) => {
                tracing::debug!(code, "steam refuses a ticket");
                let detail = "Steam does not know this ticket: ask GetAuthTicketForWebApi for a new one, with the identity that \
                              this installation expects";
                Err(Problem::unauthenticated("steam-ticket-refused", detail))
            }
            Verdict::Unreadable => {
                tracing::warn!("an answer of steam cannot be read");
                Err(away())
            }
        }
    }

    fn url(&self, ticket: &Ticket) -> Uri {
        let SteamSettings { app_id, identity, publisher_key, .. } = &self.settings;
        let app_id = app_id.to_string();
        let query = form_urlencode(&[
            ("key", SecretText::expose(publisher_key)),
            ("appid", &app_id),
            ("ticket", ticket.as_str()),
            ("identity", identity.as_str()),
        ]);
        let address = self.settings.address.to_string();
        format!("{}{PATH}?{query}", address.trim_end_matches('/'))
            .parse()
            .expect("a checked address and a checked query")
    }
}

fn away() -> Problem {
    let detail = "Steam does not answer now; other ways to log in work";
    Problem::unavailable("steam-unavailable", detail, BACK_S)
}

fn refused(refusal: Refusal) -> Problem {
    let detail = match refusal {
        Refusal::VacBanned => "this Steam account is banned by Valve's anti-cheat",
        Refusal::PublisherBanned => "this Steam account is banned from this game",
        Refusal::Borrowed => "this Steam account has only borrowed the game",
    };
    Problem::forbidden("steam-refused", detail).with("reason", refusal.name())
}
