//! A login that was begun with a provider: what its end has to fit to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Metadata;
use crate::core::form::form_urlencode;

/// What is kept of it, sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// What the id token has to repeat.
    pub nonce: String,
    /// Unix seconds at which it began.
    pub begun_at_s: u64,
    /// What a login in a browser has besides; none where the client asks the provider itself.
    pub browser: Option<BrowserFlow>,
}

/// What a login in a browser has to fit to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserFlow {
    /// What the redirect has to repeat.
    pub state: String,
    /// What proves that whoever shows the code began the login (RFC 7636).
    pub verifier: String,
    /// Where the browser is sent.
    pub redirect_uri: String,
}

impl Flow {
    /// A new one of 32 random bytes for each secret; with `redirect_uri` in a browser.
    pub fn begin(redirect_uri: Option<String>, now_s: u64, mut random: impl FnMut() -> [u8; 32]) -> Self {
        let mut secret = || URL_SAFE_NO_PAD.encode(random());
        let nonce = secret();
        let browser =
            redirect_uri.map(|redirect_uri| BrowserFlow { state: secret(), verifier: secret(), redirect_uri });
        Self { nonce, begun_at_s: now_s, browser }
    }

    /// Where the player logs in. `None`: not in a browser, or the provider has no such place.
    pub fn authorization_url(&self, metadata: &Metadata, client_id: &str, scopes: &[String]) -> Option<String> {
        let browser = self.browser.as_ref()?;
        let endpoint = metadata.authorization_endpoint.as_deref()?;
        let (scopes, challenge) = (scopes.join(" "), challenge(&browser.verifier));
        let query = form_urlencode(&[
            ("response_type", "code"),
            ("client_id", client_id),
            ("scope", scopes.as_str()),
            ("redirect_uri", browser.redirect_uri.as_str()),
            ("state", browser.state.as_str()),
            ("nonce", self.nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ]);
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Some(format!("{endpoint}{joint}{query}"))
    }
}

/// What the provider is told of the verifier: S256 of RFC 7636, 4.2.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// Whether a browser may be sent there: exactly where the settings say, but for the port of this very machine, which a
/// program that listens there for a moment cannot choose (RFC 8252, 7.3).
pub fn redirect_is_allowed(allowed: &[String], asked: &str) -> bool {
    let without_port = |text: &str| -> Option<String> {
        let host = ["http://127.0.0.1", "http://[::1]"].into_iter().find(|host| text.starts_with(host))?;
        let rest = &text[host.len()..];
        let path = match rest.strip_prefix(':') {
            Some(rest) => {
                let digits = rest.find(|one: char| !one.is_ascii_digit()).unwrap_or(rest.len());
                rest[..digits].parse::<u16>().ok()?;
                &rest[digits..]
            }
            None => rest,
        };
        (path.is_empty() || path.starts_with('/')).then(|| format!("{host}{path}"))
    };
    allowed.iter().any(|one| one == asked || without_port(one).is_some_and(|one| without_port(asked) == Some(one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_browser_is_sent_with_everything_that_its_way_back_has_to_fit_to() {
        let json = br#"{"issuer":"https://a","jwks_uri":"https://a/k","authorization_endpoint":"https://a/login?x=1"}"#;
        let metadata = Metadata::parse(json, "https://a").expect("metadata");
        let mut count = 0;
        let flow = Flow::begin(Some("https://game/back".into()), 5, || {
            count += 1;
            [count; 32]
        });
        let browser = flow.browser.as_ref().expect("in a browser");
        assert!(flow.nonce != browser.state && browser.state != browser.verifier && browser.verifier.len() == 43);
        let url = flow.authorization_url(&metadata, "game", &["openid".into(), "email".into()]).expect("a URL");
        assert!(url.starts_with("https://a/login?x=1&response_type=code&client_id=game&scope=openid+email&"), "{url}");
        assert!(url.contains(&format!("&state={}&nonce={}&", browser.state, flow.nonce)), "{url}");
        assert!(url.ends_with("&code_challenge_method=S256") && !url.contains(&browser.verifier), "{url}");
        assert_eq!(Flow::begin(None, 5, || [1; 32]).authorization_url(&metadata, "game", &[]), None);
    }

    #[test]
    fn a_browser_is_sent_only_where_the_settings_say() {
        let allowed = ["https://game.example/back".to_owned(), "http://127.0.0.1/back".to_owned()];
        for good in ["https://game.example/back", "http://127.0.0.1/back", "http://127.0.0.1:51004/back"] {
            assert!(redirect_is_allowed(&allowed, good), "{good}");
        }
        for bad in [
            "https://game.example/back/",
            "https://game.example:444/back",
            "https://game.example/back?x=1",
            "http://127.0.0.1:51004/other",
            "http://127.0.0.1.eve.example/back",
            "http://127.0.0.1:51004@eve.example/back",
            "http://127.0.0.1:99999/back",
            "http://[::1]:51004/back",
            "",
        ] {
            assert!(!redirect_is_allowed(&allowed, bad), "{bad}");
        }
    }
}
