//! Keys of the installation, made where they are absent and never changed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

/// Secret with the keys that sign join tokens, certificates and access tokens.
pub const KEYS: &str = "muster-keys";
/// Secret with the TLS of the allocator's drop-in.
pub const TLS: &str = "muster-allocator-tls";
/// Secret for callers of the drop-in: a certificate that the drop-in's CA has signed.
pub const CLIENT_TLS: &str = "muster-allocator-client";
/// Secret with the key under which metagame seals personal data. Apart from [`KEYS`], so that backups of one need not hold
/// the other, and so that an installation that has those gets it too.
pub const VAULT: &str = "muster-vault";
/// Files of [`KEYS`] and of [`VAULT`].
const KEY_FILES: [(&str, &[&str]); 2] = [(KEYS, &["allocator.key", "metagame.key"]), (VAULT, &["vault.key"])];

/// Secrets that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The API server refused.
    #[error("the Secret {0} could not be made: {1}")]
    Api(&'static str, kube::Error),
    /// A certificate could not be made.
    #[error("the certificate of {TLS} could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Makes what is absent. `tls_names` are the names by which the drop-in is called; without any, somebody else makes its TLS.
pub(crate) async fn make(client: Client, namespace: &str, tls_names: &[String]) -> Result<(), SecretsError> {
    let api: Api<Secret> = Api::namespaced(client, namespace);
    let is_there =
        async |name| api.get_metadata_opt(name).await.map(|it| it.is_some()).map_err(|e| SecretsError::Api(name, e));
    for (name, files) in KEY_FILES {
        if is_there(name).await? {
            continue;
        }
        // As service::key reads them: 64 hexadecimal digits.
        let key = || format!("{}\n", hex::encode(service::random::bytes::<32>())).into_bytes();
        create(&api, name, "Opaque", files.iter().map(|file| (*file, key())).collect()).await?;
    }
    if tls_names.is_empty() || is_there(TLS).await? {
        return Ok(());
    }
    let made = certificates(tls_names)?;
    // The callers' first: with the server's in place nothing is made any more, and the CA's key is in no Secret.
    for (name, files) in [(CLIENT_TLS, made.client), (TLS, made.server)] {
        create(&api, name, "kubernetes.io/tls", files).await?;
    }
    Ok(())
}

type Files = BTreeMap<&'static str, Vec<u8>>;

async fn create(api: &Api<Secret>, name: &'static str, type_: &str, files: Files) -> Result<(), SecretsError> {
    let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "muster-operator".to_owned())]);
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name.into()), labels: Some(labels), ..ObjectMeta::default() },
        type_: Some(type_.into()),
        data: Some(files.into_iter().map(|(file, bytes)| (file.to_owned(), ByteString(bytes))).collect()),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &secret).await {
        Ok(_) => {
            tracing::info!(secret = name, "made a Secret");
            Ok(())
        }
        // Another made it meanwhile: then that is the one.
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(SecretsError::Api(name, error)),
    }
}

struct Certificates {
    server: Files,
    client: Files,
}

/// A CA, a server's certificate and a caller's. The CA's key is dropped: whoever needs more certificates brings a CA.
fn certificates(names: &[String]) -> Result<Certificates, rcgen::Error> {
    let named = |name: &str| {
        let mut distinguished = DistinguishedName::new();
        distinguished.push(DnType::CommonName, name);
        distinguished
    };
    let mut ca = CertificateParams::default();
    ca.distinguished_name = named("muster allocator CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca_key = KeyPair::generate()?;
    let root = pem("CERTIFICATE", ca.self_signed(&ca_key)?.der());
    let issuer = Issuer::new(ca, ca_key);
    let leaf = |names: Vec<String>, name: &str, usage| -> Result<Files, rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = named(name);
        params.insert_extended_key_usage(usage);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok([
            ("tls.crt", pem("CERTIFICATE", certificate.der())),
            ("tls.key", pem("PRIVATE KEY", &key.serialize_der())),
            ("ca.crt", root.clone()),
        ]
        .into())
    };
    Ok(Certificates {
        server: leaf(names.to_vec(), "muster allocator", ExtendedKeyUsagePurpose::ServerAuth)?,
        client: leaf(Vec::new(), "muster allocator client", ExtendedKeyUsagePurpose::ClientAuth)?,
    })
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| [line, b"\n"].concat());
    let body: Vec<u8> = lines.flatten().collect();
    [format!("-----BEGIN {label}-----\n").as_bytes(), &body, format!("-----END {label}-----\n").as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_name_the_drop_in_and_share_a_ca() {
        let made = certificates(&["muster-allocator.muster-system.svc".into()]).expect("made");
        assert_eq!(made.server["ca.crt"], made.client["ca.crt"]);
        assert_ne!(made.server["tls.key"], made.client["tls.key"]);
        let text = String::from_utf8(made.server["tls.crt"].clone()).expect("ASCII");
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n") && text.ends_with("-----END CERTIFICATE-----\n"));
        assert!(text.lines().all(|line| line.len() <= 64));
        let der: Vec<u8> =
            STANDARD.decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>()).expect("base64");
        let name = b"muster-allocator.muster-system.svc";
        assert!(der.windows(name.len()).any(|window| window == name));
    }
}
