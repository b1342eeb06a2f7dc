//! Deliveries to a webhook: how an event is signed, what an answer is worth, when a delivery is tried again.
//!
//! Signatures follow the Standard Webhooks convention: `webhook-signature` holds `v1,` and base64 of HMAC-SHA256 over
//! `id.timestamp.body`, once for each secret that is live.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use time::OffsetDateTime;
use time::PrimitiveDateTime;
use time::macros::format_description;

/// Longest pause that an endpoint can ask for with `Retry-After`: a typing mistake there must not be for ever.
pub const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Signatures of a message that are looked at.
const SIGNATURES_MAX: usize = 8;
/// What a secret begins with.
const SECRET_PREFIX: &str = "whsec_";

/// What signs deliveries to one endpoint. Its bytes are never shown.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A text that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    /// It has another form.
    #[error("does not hold `whsec_` and base64")]
    Form,
    /// It is too short to be a secret, or too long.
    #[error("holds {0} secret bytes; 24 to 64 are right")]
    Length(usize),
}

impl Secret {
    /// Reads `whsec_` and base64 of 24 to 64 bytes; space around it does not count.
    ///
    /// # Errors
    /// [`SecretFault`].
    pub fn parse(text: &str) -> Result<Self, SecretFault> {
        let encoded = text.trim().strip_prefix(SECRET_PREFIX).ok_or(SecretFault::Form)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| SecretFault::Form)?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(SecretFault::Length(bytes.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

/// The header `webhook-signature`: one signature per secret, with a space between.
pub fn signatures(secrets: &[Secret], event_id: &str, sent_at_s: u64, body: &str) -> String {
    let text = format!("{event_id}.{sent_at_s}.{body}");
    let sign = |secret: &Secret| format!("v1,{}", STANDARD.encode(hmac::sign(&secret.0, text.as_bytes())));
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

/// How far the clock of whoever signed may be from ours, in seconds: what is older may be somebody else's copy.
pub const TOLERANCE_S: u64 = 300;

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// Headers are missing.
    #[error("send webhook-id, webhook-timestamp and webhook-signature")]
    Missing,
    /// It was signed long ago, or clocks differ.
    #[error("webhook-timestamp is more than {TOLERANCE_S} s from now")]
    Time,
    /// It is of none of the secrets.
    #[error("webhook-signature is not that of this message under a secret that is live")]
    Wrong,
}

/// Checks the signatures of a message that somebody sent us, as [`signatures`] makes them; one good one is enough.
///
/// # Errors
/// [`SignatureFault`].
pub fn verify(
    secrets: &[Secret],
    id: &str,
    timestamp: &str,
    body: &[u8],
    signatures: &str,
    now_s: u64,
) -> Result<(), SignatureFault> {
    if id.is_empty() || timestamp.is_empty() || signatures.is_empty() {
        return Err(SignatureFault::Missing);
    }
    let sent_at_s: u64 = timestamp.parse().map_err(|_| SignatureFault::Time)?;
    if sent_at_s.abs_diff(now_s) > TOLERANCE_S {
        return Err(SignatureFault::Time);
    }
    let text = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let given = signatures.split(' ').filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    let is_good = |tag: Vec<u8>| secrets.iter().any(|secret| hmac::verify(&secret.0, &text, &tag).is_ok());
    if given.into_iter().take(SIGNATURES_MAX).any(is_good) { Ok(()) } else { Err(SignatureFault::Wrong) }
}

/// What an answer says of its delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint has the event.
    Delivered,
    /// It does not.
    Failed {
        /// Why, in a few words.
        reason: String,
        /// How long the endpoint asks to be left alone.
        pause: Option<Duration>,
    },
    /// The endpoint says that it is gone for good.
    Gone,
}

impl Verdict {
    /// No answer came.
    pub fn unanswered(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), pause: None }
    }

    /// What an answer with this status and this `Retry-After` is worth, received at `now_ms`.
    pub fn of_answer(status: u16, retry_after: Option<&str>, now_ms: u64) -> Self {
        match status {
            200..=299 => Self::Delivered,
            410 => Self::Gone,
            300..=399 => {
                Self::Failed { reason: format!("it answered {status}, a redirect, which is not followed"), pause: None }
            }
            _ => Self::Failed {
                reason: format!("it answered {status}"),
                pause: retry_after.and_then(|text| pause(text, now_ms)),
            },
        }
    }
}

/// How long `Retry-After` asks to wait: seconds, or an HTTP date; at most [`PAUSE_MAX`].
fn pause(text: &str, now_ms: u64) -> Option<Duration> {
    let text = text.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let form = format_description!(
                "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
            );
            let until: OffsetDateTime = PrimitiveDateTime::parse(text, &form).ok()?.assume_utc();
            let until_ms = u64::try_from(until.unix_timestamp()).ok()?.checked_mul(1_000)?;
            Duration::from_millis(until_ms.saturating_sub(now_ms))
        }
    };
    Some(asked.min(PAUSE_MAX)).filter(|pause| !pause.is_zero())
}

/// When deliveries are tried again, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Wait after the first failure; it doubles with each further one.
    pub first: Duration,
    /// Longest wait.
    pub max: Duration,
    /// A delivery that failed for this long is given up.
    pub give_up: Duration,
}

/// What follows a failed delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another try at this time, Unix milliseconds.
    Again(u64),
    /// None: it is a dead letter.
    GiveUp,
}

impl Schedule {
    /// What follows the failure number `failures`, counted from 1, of a delivery that is due since `since_ms`.
    ///
    /// Waits double, and `entropy` draws each evenly from the upper half of its step. `pause` is what the endpoint asked
    /// for. The last try comes when the patience ends, however long the waits were.
    pub fn next(&self, failures: u32, since_ms: u64, now_ms: u64, pause: Option<Duration>, entropy: u64) -> Next {
        let end_ms = since_ms.saturating_add(millis(self.give_up));
        if now_ms >= end_ms {
            return Next::GiveUp;
        }
        let doublings = failures.saturating_sub(1).min(20);
        let step = self.first.saturating_mul(1 << doublings).min(self.max);
        let half = step / 2;
        let wait = (half + half.mul_f64(entropy as f64 / u64::MAX as f64)).max(pause.unwrap_or_default());
        let at_ms = now_ms.saturating_add(millis(wait));
        // A pause is kept even beyond the end; a wait of our own is cut there.
        Next::Again(if pause.is_some() { at_ms } else { at_ms.min(end_ms) })
    }
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

    fn schedule() -> Schedule {
        Schedule {
            first: Duration::from_secs(2),
            max: Duration::from_secs(3_600),
            give_up: Duration::from_secs(3 * 24 * 60 * 60),
        }
    }

    #[test]
    fn a_signature_is_that_of_the_convention() {
        // The example of the Standard Webhooks libraries.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("a secret");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = signatures(std::slice::from_ref(&secret), id, 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = signatures(&[secret.clone(), secret], id, 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(both, format!("{signed} {signed}"));
    }

    #[test]
    fn a_message_counts_if_it_is_signed_now_by_a_live_secret_and_unchanged() {
        let secret = |text: &str| Secret::parse(&format!("whsec_{}", STANDARD.encode(text))).expect("a secret");
        let (old, new) = (secret("an old secret of 24 bytes"), secret("a new secret of 24 bytes!"));
        let signed = signatures(std::slice::from_ref(&old), "m1", 1_000, "{}");
        let check = |secrets: &[Secret], id, at, body: &str, signed: &str, now_s| {
            verify(secrets, id, at, body.as_bytes(), signed, now_s)
        };
        let both = [new.clone(), old.clone()];
        assert_eq!(check(&both, "m1", "1000", "{}", &signed, 1_300), Ok(()));
        assert_eq!(check(&both, "m1", "1000", "{}", &format!("v1,AAAA v2,x {signed}"), 700), Ok(()));
        assert_eq!(check(&both, "m1", "1000", "{}", &signed, 1_301), Err(SignatureFault::Time));
        assert_eq!(check(&both, "m1", "1000", "{}", &signed, 699), Err(SignatureFault::Time));
        assert_eq!(check(&both, "m1", "soon", "{}", &signed, 1_000), Err(SignatureFault::Time));
        assert_eq!(check(&[new], "m1", "1000", "{}", &signed, 1_000), Err(SignatureFault::Wrong));
        for (id, at, body) in [("m2", "1000", "{}"), ("m1", "1001", "{}"), ("m1", "1000", "{} ")] {
            assert_eq!(check(&both, id, at, body, &signed, 1_000), Err(SignatureFault::Wrong));
        }
        for (id, at, signed) in [("", "1000", signed.as_str()), ("m1", "", &signed), ("m1", "1000", "")] {
            assert_eq!(check(&both, id, at, "{}", signed, 1_000), Err(SignatureFault::Missing));
        }
    }

    #[test]
    fn a_text_that_is_no_secret_is_refused() {
        let fault = |text: &str| Secret::parse(text).expect_err("no secret");
        assert_eq!(fault(""), SecretFault::Form);
        assert_eq!(fault("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), SecretFault::Form);
        assert_eq!(fault("whsec_not base64"), SecretFault::Form);
        assert_eq!(fault("whsec_c2hvcnQ="), SecretFault::Length(5));
        let shown = format!("{:?}", Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        assert!(!shown.contains("MfK"), "{shown}");
    }

    #[test]
    fn only_success_is_delivered() {
        let verdict = |status| Verdict::of_answer(status, None, 0);
        assert_eq!((verdict(200), verdict(204)), (Verdict::Delivered, Verdict::Delivered));
        assert_eq!(verdict(410), Verdict::Gone);
        for status in [100, 301, 302, 308, 400, 401, 404, 429, 500, 503] {
            assert!(matches!(verdict(status), Verdict::Failed { pause: None, .. }), "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let asked = |text| match Verdict::of_answer(429, Some(text), 1_445_412_480_000) {
            Verdict::Failed { pause, .. } => pause.map(|pause| pause.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:30 GMT"), Some(30));
        assert_eq!(asked("Wed, 21 Oct 2015 07:27:00 GMT"), None, "it is over");
        assert_eq!(asked("99999999999"), Some(PAUSE_MAX.as_secs()));
        assert_eq!((asked("soon"), asked("-1"), asked("0")), (None, None, None));
    }

    #[test]
    fn waits_double_and_the_last_try_comes_when_patience_ends() {
        let schedule = schedule();
        let wait = |failures, entropy| schedule.next(failures, 0, 0, None, entropy);
        assert_eq!((wait(1, 0), wait(1, u64::MAX)), (Next::Again(1_000), Next::Again(2_000)));
        assert_eq!(wait(3, u64::MAX), Next::Again(8_000));
        assert_eq!(wait(u32::MAX, u64::MAX), Next::Again(3_600_000));
        assert_eq!(schedule.next(90, 0, 3 * DAY_MS - 5, None, 0), Next::Again(3 * DAY_MS));
        assert_eq!(schedule.next(90, 0, 3 * DAY_MS, None, 0), Next::GiveUp);
        let pause = Some(Duration::from_secs(60));
        assert_eq!(schedule.next(1, 0, 0, pause, 0), Next::Again(60_000));
        assert_eq!(schedule.next(1, 0, 3 * DAY_MS - 5, pause, 0), Next::Again(3 * DAY_MS - 5 + 60_000));
        assert_eq!(schedule.next(20, 0, 0, pause, 0), Next::Again(1_800_000), "our own wait is longer");
    }

    #[test]
    fn three_days_of_failures_are_a_bounded_number_of_tries() {
        let schedule = schedule();
        let (mut now_ms, mut failures) = (0, 0);
        loop {
            failures += 1;
            match schedule.next(failures, 0, now_ms, None, u64::from(failures).wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
                Next::Again(at_ms) => now_ms = at_ms,
                Next::GiveUp => break,
            }
        }
        assert_eq!(now_ms, 3 * DAY_MS);
        assert!((80..160).contains(&failures), "{failures}");
    }
}
