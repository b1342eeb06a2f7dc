//! Settings of those who vouch for players: Steam, identity providers; and of passkeys.

use std::collections::BTreeSet;
use std::path::PathBuf;

use axum::http::Uri;
use serde::Deserialize;

use super::{Reader, SecretText};
use crate::core::oidc::Algorithm;
use crate::core::steam::Rules;

/// Most identity providers.
const PROVIDERS_MAX: usize = 16;
/// Longest name of a provider; it is a label of metrics.
const NAME_BYTES_MAX: usize = 32;
/// Names of ways into an account that are none of an identity provider.
const RESERVED: [&str; 5] = ["device", "email", "password", "steam", "oidc"];
/// Steam for whoever has a publisher key.
const STEAM_ADDRESS: &str = "https://partner.steam-api.com";
/// What the game tells `GetAuthTicketForWebApi` where the settings say nothing else.
const STEAM_IDENTITY: &str = "muster";

/// How players log in by Steam.
#[derive(Debug, Clone)]
pub struct SteamSettings {
    /// Where Steam is.
    pub address: Uri,
    /// The game's number.
    pub app_id: u32,
    /// What the game tells `GetAuthTicketForWebApi`: a ticket for another service is worth nothing here.
    pub identity: String,
    /// Proves to Steam that this is the game's publisher.
    pub publisher_key: SecretText,
    /// Who may log in.
    pub rules: Rules,
}

/// An identity provider.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// What addresses and the database call it.
    pub name: String,
    /// Its issuer, exactly as its tokens say it.
    pub issuer: String,
    /// What it calls this installation.
    pub client_id: String,
    /// What it calls the game's own programs, which get their tokens themselves.
    pub native_client_ids: Vec<String>,
    /// Proves this installation to it, where it wants that.
    pub client_secret: Option<SecretText>,
    /// What it is asked for.
    pub scopes: Vec<String>,
    /// Where it may send a browser back to.
    pub redirect_uris: Vec<String>,
    /// How its tokens may be signed.
    pub algorithms: Vec<Algorithm>,
}

impl OidcSettings {
    /// Every client for which a token may be made that a game brings along.
    pub(crate) fn clients(&self) -> Vec<String> {
        self.native_client_ids.iter().chain([&self.client_id]).cloned().collect()
    }
}

/// Passkeys and security keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeySettings {
    /// The domain to which keys are bound. With another one every key is void.
    pub domain: String,
    /// What players call the game.
    pub name: String,
    /// Where keys are used: `https://…` of the domain, or what an app is called (`android:apk-key-hash:…`).
    pub origins: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SteamTable {
    app_id: u32,
    publisher_key_file: PathBuf,
    identity: Option<String>,
    address: Option<String>,
    refuse_vac_banned: Option<bool>,
    refuse_publisher_banned: Option<bool>,
    refuse_borrowed: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OidcTable {
    name: String,
    issuer: String,
    client_id: String,
    #[serde(default)]
    native_client_ids: Vec<String>,
    client_secret_file: Option<PathBuf>,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    algorithms: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PasskeysTable {
    domain: String,
    name: String,
    origins: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn steam(&mut self, table: SteamTable) -> Option<SteamSettings> {
        let usual = Rules::default();
        let rules = Rules {
            refuse_vac_banned: table.refuse_vac_banned.unwrap_or(usual.refuse_vac_banned),
            refuse_publisher_banned: table.refuse_publisher_banned.unwrap_or(usual.refuse_publisher_banned),
            refuse_borrowed: table.refuse_borrowed.unwrap_or(usual.refuse_borrowed),
        };
        let identity = table.identity.unwrap_or_else(|| STEAM_IDENTITY.to_owned());
        if identity.is_empty() {
            self.fault("steam", "identity must be what the game tells GetAuthTicketForWebApi");
        }
        let address: Option<Uri> = table.address.as_deref().unwrap_or(STEAM_ADDRESS).parse().ok();
        let address = address.filter(|address| address.query().is_none() && address.scheme().is_some());
        if address.is_none() {
            self.fault("steam", "address must be https://host, without a query");
        }
        let publisher_key = self.secret("steam", &table.publisher_key_file);
        Some(SteamSettings { address: address?, app_id: table.app_id, identity, publisher_key: publisher_key?, rules })
    }

    pub(super) fn providers(&mut self, tables: Vec<OidcTable>) -> Vec<OidcSettings> {
        let mut names = BTreeSet::new();
        if tables.len() > PROVIDERS_MAX {
            self.fault("oidc", &format!("{} providers are more than {PROVIDERS_MAX}", tables.len()));
        }
        for table in &tables {
            if !names.insert(table.name.clone()) {
                self.fault("oidc", &format!("two providers are called {:?}", table.name));
            }
        }
        tables.into_iter().filter_map(|table| self.provider(table)).collect()
    }

    fn provider(&mut self, table: OidcTable) -> Option<OidcSettings> {
        let shown = format!("oidc {:?}", table.name);
        let before = self.faults.len();
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = (1..=NAME_BYTES_MAX).contains(&table.name.len()) && table.name.bytes().all(good);
        if !is_name || RESERVED.contains(&table.name.as_str()) {
            self.fault(
                &shown,
                &format!("a name has 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -, and is none of {RESERVED:?}"),
            );
        }
        // Whether it is safe to call is seen at the start, by whoever calls it.
        if !table.issuer.parse::<Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.query().is_none()) {
            self.fault(&shown, "issuer must be the provider's address, exactly as its tokens say it");
        }
        if table.client_id.is_empty() {
            self.fault(&shown, "client_id must be what the provider calls this installation");
        }
        let scopes = table.scopes.unwrap_or_else(|| vec!["openid".to_owned()]);
        if !scopes.iter().any(|scope| scope == "openid") {
            self.fault(&shown, "scopes must hold \"openid\"");
        }
        let mut algorithms = Vec::new();
        for name in table.algorithms.unwrap_or_else(|| Algorithm::ALL.map(|one| one.name().to_owned()).to_vec()) {
            match name.parse() {
                Ok(algorithm) => algorithms.push(algorithm),
                Err(_) => self.fault(&shown, &format!("{name:?}: an algorithm is RS256, ES256 or EdDSA")),
            }
        }
        if table.redirect_uris.iter().any(|uri| !uri.contains(':') || uri.contains('#')) {
            self.fault(&shown, "redirect_uris must be whole addresses without #");
        }
        let client_secret = table.client_secret_file.and_then(|file| self.secret(&shown, &file));
        (self.faults.len() == before).then_some(OidcSettings {
            name: table.name,
            issuer: table.issuer,
            client_id: table.client_id,
            native_client_ids: table.native_client_ids,
            client_secret,
            scopes,
            redirect_uris: table.redirect_uris,
            algorithms,
        })
    }

    pub(super) fn passkeys(&mut self, table: PasskeysTable) -> Option<PasskeySettings> {
        let settings = PasskeySettings { domain: table.domain, name: table.name, origins: table.origins };
        let fault = crate::identity::passkeys::build(&settings).err();
        fault.iter().for_each(|fault| self.fault("passkeys", &fault.to_string()));
        fault.is_none().then_some(settings)
    }
}
