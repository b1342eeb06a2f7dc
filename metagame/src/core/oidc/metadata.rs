//! What a provider says of itself (OpenID Connect Discovery 1.0).

use serde::Deserialize;

/// Where a provider does what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    /// Its name for itself.
    pub issuer: String,
    /// Where players log in.
    pub authorization_endpoint: Option<String>,
    /// Where a code becomes a token.
    pub token_endpoint: Option<String>,
    /// Where its keys are.
    pub jwks_uri: String,
    /// How a client proves itself there.
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether its redirects name it (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// Why what a provider says is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataFault {
    /// It is not the JSON that it should be.
    #[error("its metadata is not that of an OpenID provider")]
    Form,
    /// It calls itself by another name than the settings do.
    #[error("it calls itself {0:?}: set issuer to exactly that, if it is right")]
    Issuer(String),
    /// An address without TLS.
    #[error("its {0} is not an https:// address")]
    Plain(&'static str),
}

impl Metadata {
    /// Where the metadata of an issuer is.
    pub fn url(issuer: &str) -> String {
        format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
    }

    /// Reads what the provider `issuer` says. Its addresses must be safe, unless the issuer's own, which an operator wrote down,
    /// is not either.
    ///
    /// # Errors
    /// [`MetadataFault`].
    pub fn parse(json: &[u8], issuer: &str) -> Result<Self, MetadataFault> {
        let metadata: Self = serde_json::from_slice(json).map_err(|_| MetadataFault::Form)?;
        if metadata.issuer != issuer {
            return Err(MetadataFault::Issuer(metadata.issuer));
        }
        let addresses = [
            ("authorization_endpoint", metadata.authorization_endpoint.as_deref()),
            ("token_endpoint", metadata.token_endpoint.as_deref()),
            ("jwks_uri", Some(metadata.jwks_uri.as_str())),
        ];
        let is_plain = |address: &str| !address.starts_with("https://") && issuer.starts_with("https://");
        let plain = addresses.iter().find(|(_, address)| address.is_some_and(is_plain)).map(|(name, _)| *name);
        match plain {
            Some(name) => Err(MetadataFault::Plain(name)),
            None => Ok(metadata),
        }
    }

    /// Whether the client's secret goes into the form, and not into the header, which is what a provider that says nothing
    /// expects.
    pub fn wants_secret_in_form(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let has = |name: &str| methods.iter().any(|one| one == name);
        has("client_secret_post") && !has("client_secret_basic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://id.example/tenant";

    fn parse(text: &str) -> Result<Metadata, MetadataFault> {
        Metadata::parse(text.replace("ISSUER", ISSUER).as_bytes(), ISSUER)
    }

    #[test]
    fn metadata_is_taken_from_its_issuer_alone_and_only_with_safe_addresses() {
        assert_eq!(Metadata::url("https://id.example/"), "https://id.example/.well-known/openid-configuration");
        let good = parse(r#"{"issuer":"ISSUER","jwks_uri":"https://id.example/keys","other":1}"#).expect("good");
        assert!(!good.wants_secret_in_form() && !good.authorization_response_iss_parameter_supported);
        assert!(matches!(
            parse(r#"{"issuer":"https://eve.example","jwks_uri":"https://x/"}"#),
            Err(MetadataFault::Issuer(_))
        ));
        assert_eq!(
            parse(r#"{"issuer":"ISSUER","jwks_uri":"http://127.0.0.1/"}"#),
            Err(MetadataFault::Plain("jwks_uri"))
        );
        assert_eq!(parse("[]"), Err(MetadataFault::Form));
        let local = r#"{"issuer":"http://127.0.0.1:1","jwks_uri":"http://127.0.0.1:1/keys"}"#;
        assert!(Metadata::parse(local.as_bytes(), "http://127.0.0.1:1").is_ok(), "as its operator wrote");
    }

    #[test]
    fn a_secret_goes_where_the_provider_wants_it() {
        let wants = |methods: &str| {
            let text = format!(
                r#"{{"issuer":"ISSUER","jwks_uri":"https://x/","token_endpoint_auth_methods_supported":[{methods}]}}"#
            );
            parse(&text).expect("good").wants_secret_in_form()
        };
        assert!(wants(r#""client_secret_post""#) && !wants(r#""client_secret_post","client_secret_basic""#));
        assert!(!wants(""));
    }
}
