//! What Steam says of a ticket (Steamworks Web API, `ISteamUserAuth/AuthenticateUserTicket` version 1).

use serde::Deserialize;

/// Longest ticket in bytes (`GetAuthTicketForWebApi` gives up to 2,560).
const TICKET_BYTES_MAX: usize = 2_560;
/// Shortest one that could be signed.
const TICKET_BYTES_MIN: usize = 16;

/// A text that is no ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a ticket is what GetAuthTicketForWebApi gave, in hex: 16 to 2,560 bytes")]
pub struct TicketError;

/// A ticket, as it goes to Steam: in hex of lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(String);

impl std::fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Ticket")
    }
}

impl std::str::FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let fits = (TICKET_BYTES_MIN..=TICKET_BYTES_MAX).contains(&(text.len() / 2));
        if is_hex && fits { Ok(Self(text.to_ascii_lowercase())) } else { Err(TicketError) }
    }
}

impl Ticket {
    /// In hex.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A Steam account, as Steam's 64-bit id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SteamId(pub u64);

/// What Steam knows of whoever showed a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Who plays.
    pub steam_id: SteamId,
    /// Who owns the game: somebody else where it is borrowed from a family's library.
    pub owner: SteamId,
    /// Whether Valve's anti-cheat has banned the account.
    pub is_vac_banned: bool,
    /// Whether the publisher has.
    pub is_publisher_banned: bool,
}

/// Who may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whom Valve's anti-cheat has banned may not.
    pub refuse_vac_banned: bool,
    /// Whom the publisher has banned may not.
    pub refuse_publisher_banned: bool,
    /// Who has borrowed the game may not.
    pub refuse_borrowed: bool,
}

impl Default for Rules {
    /// A ban by Valve is of one game and often of another; a ban by the publisher is the publisher's word.
    fn default() -> Self {
        Self { refuse_vac_banned: false, refuse_publisher_banned: true, refuse_borrowed: false }
    }
}

/// Why somebody whose ticket is good may not log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Banned by Valve's anti-cheat.
    VacBanned,
    /// Banned by the publisher.
    PublisherBanned,
    /// The game is somebody else's.
    Borrowed,
}

impl Refusal {
    /// In problems.
    pub fn name(self) -> &'static str {
        match self {
            Self::VacBanned => "vac-banned",
            Self::PublisherBanned => "publisher-banned",
            Self::Borrowed => "borrowed",
        }
    }
}

impl Rules {
    /// Whether this owner may log in.
    pub fn judge(&self, owner: &Owner) -> Option<Refusal> {
        let reasons = [
            (self.refuse_publisher_banned && owner.is_publisher_banned, Refusal::PublisherBanned),
            (self.refuse_vac_banned && owner.is_vac_banned, Refusal::VacBanned),
            (self.refuse_borrowed && owner.owner != owner.steam_id, Refusal::Borrowed),
        ];
        reasons.into_iter().find(|(is_so, _)| *is_so).map(|(_, refusal)| refusal)
    }
}

/// What Steam answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The ticket is good.
    Good(Owner),
    /// It is not; by Steam's number of the error.
    Refused(i64),
    /// The answer is none: Steam is out of order.
    Unreadable,
}

#[derive(Deserialize)]
struct Whole {
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    params: Option<Params>,
    error: Option<ErrorPart>,
}

#[derive(Deserialize)]
struct Params {
    result: String,
    steamid: String,
    ownersteamid: String,
    #[serde(default)]
    vacbanned: bool,
    #[serde(default)]
    publisherbanned: bool,
}

#[derive(Deserialize)]
struct ErrorPart {
    errorcode: i64,
}

impl Verdict {
    /// Reads the body of an answer with status 200.
    pub fn read(json: &[u8]) -> Self {
        let Ok(whole) = serde_json::from_slice::<Whole>(json) else { return Self::Unreadable };
        match (whole.response.params, whole.response.error) {
            (Some(params), None) if params.result == "OK" => params.owner().map_or(Self::Unreadable, Self::Good),
            (_, Some(error)) => Self::Refused(error.errorcode),
            _ => Self::Unreadable,
        }
    }
}

impl Params {
    fn owner(&self) -> Option<Owner> {
        let id = |text: &str| text.parse().ok().filter(|id| *id != 0).map(SteamId);
        Some(Owner {
            steam_id: id(&self.steamid)?,
            owner: id(&self.ownersteamid)?,
            is_vac_banned: self.vacbanned,
            is_publisher_banned: self.publisherbanned,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Owner = Owner {
        steam_id: SteamId(76_561_197_960_287_930),
        owner: SteamId(76_561_197_960_287_930),
        is_vac_banned: false,
        is_publisher_banned: false,
    };

    #[test]
    fn a_ticket_is_hex_of_some_length() {
        let ticket: Ticket = "14000000AB0000000000000000000000".parse().expect("a ticket");
        assert_eq!(ticket.as_str(), "14000000ab0000000000000000000000");
        for wrong in ["", "14", &"0".repeat(33), &"g".repeat(32), &"0".repeat(5_122), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<Ticket>(), Err(TicketError), "{wrong}");
        }
    }

    #[test]
    fn answers_are_read() {
        let good = br#"{"response":{"params":{"result":"OK","steamid":"76561197960287930",
            "ownersteamid":"76561197960287930","vacbanned":false,"publisherbanned":false}}}"#;
        assert_eq!(Verdict::read(good), Verdict::Good(ADA));
        let refused = br#"{"response":{"error":{"errorcode":101,"errordesc":"Invalid ticket"}}}"#;
        assert_eq!(Verdict::read(refused), Verdict::Refused(101));
        let text = String::from_utf8_lossy(good).into_owned();
        for wrong in
            ["", "<html>", r#"{"response":{}}"#, &text.replace("OK", "NO"), &text.replace("76561197960287930", "0")]
        {
            assert_eq!(Verdict::read(wrong.as_bytes()), Verdict::Unreadable, "{wrong}");
        }
    }

    #[test]
    fn who_may_log_in_is_a_matter_of_settings() {
        let (vac, publisher) = (Owner { is_vac_banned: true, ..ADA }, Owner { is_publisher_banned: true, ..ADA });
        let borrowed = Owner { owner: SteamId(1), ..ADA };
        let usual = Rules::default();
        assert_eq!((usual.judge(&ADA), usual.judge(&vac), usual.judge(&borrowed)), (None, None, None));
        assert_eq!(usual.judge(&publisher), Some(Refusal::PublisherBanned));
        let strict = Rules { refuse_vac_banned: true, refuse_publisher_banned: true, refuse_borrowed: true };
        assert_eq!((strict.judge(&ADA), strict.judge(&vac)), (None, Some(Refusal::VacBanned)));
        assert_eq!(strict.judge(&borrowed), Some(Refusal::Borrowed));
        let lax = Rules { refuse_publisher_banned: false, ..usual };
        assert_eq!(lax.judge(&publisher), None);
    }
}
