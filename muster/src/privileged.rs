//! What stands behind privileged acts: `muster operator-token`, which says who an operator is, `muster audit verify`, which
//! checks the log of what operators did, and `muster receipt verify`.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metagame::core::act::ActsVerified;
use metagame::core::receipt::verify_file;
use metagame::vault::Vault;
use metagame::{OPERATOR, OPERATOR_AUDIENCE};
use protocol::token::{SERVICE_TYP, ServiceClaims};
use serde_json::json;

use crate::cli::{AuditOptions, AuditTask, OperatorTokenOptions, ReceiptOptions, ReceiptTask};
use crate::exit::Failure;
use crate::output::{Output, answer};

/// The vault's key file in the data folder.
const VAULT_KEY: &str = "vault.key";
/// Longest name of an operator.
const NAME_BYTES_MAX: usize = 64;

/// Prints a token. Whoever may read the service key may be any operator: on one machine that is who owns the data folder.
pub(crate) fn token(options: &OperatorTokenOptions) -> Result<ExitCode, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let name = &options.name;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        return Err(Failure::setup(format!(
            "{name:?} is no name of an operator: letters, digits, '.', '_' and '-', at most {NAME_BYTES_MAX}"
        )));
    }
    let path = options.data.join("service.key");
    let key = service::key::load(&path).map_err(|error| {
        Failure::setup(error)
            .help("name the data folder of the installation with --data; on Kubernetes use kubectl create token")
    })?;
    let now_s = service::clock::unix_s();
    let claims = ServiceClaims {
        iss: "muster-installation".into(),
        sub: format!("{OPERATOR}{name}"),
        aud: OPERATOR_AUDIENCE.into(),
        iat: now_s,
        exp: now_s + options.hours * 3_600,
    };
    answer(&key.sign(SERVICE_TYP, &claims))?;
    Ok(ExitCode::SUCCESS)
}

/// Checks a receipt.
pub(crate) fn receipt(options: &ReceiptOptions) -> Result<ExitCode, Failure> {
    let ReceiptTask::Verify { file, key, data } = &options.task;
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::setup(format!("cannot read {}: {error}", file.display())))?;
    let trusted = match key {
        Some(key) => {
            let bytes = URL_SAFE_NO_PAD.decode(key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            bytes.ok_or_else(|| Failure::setup("a key of receipts is 32 bytes in base64url"))?
        }
        None => {
            let path = data.join(VAULT_KEY);
            if !path.is_file() {
                let message = format!("there is no key file {}", path.display());
                return Err(Failure::setup(message).help("name the data folder with --data, or the key with --key"));
            }
            Vault::new(&service::key::seed(&path).map_err(Failure::setup)?).receipts().public_key()
        }
    };
    match verify_file(&text, &trusted) {
        Ok(said) => {
            answer(&said.to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => {
            answer(&fault.to_string())?;
            Ok(ExitCode::from(3))
        }
    }
}

/// Checks the log of acts.
pub(crate) fn audit(options: &AuditOptions) -> Result<ExitCode, Failure> {
    let AuditTask::Verify { data, database, output } = &options.task;
    let verified = database.look(data, async |store| store.verify_acts().await.map_err(Failure::run))?;
    answer(&match output {
        Output::Text => text(&verified),
        Output::Json => whole(&verified),
    })?;
    Ok(if verified.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn text(verified: &ActsVerified) -> String {
    let mut lines = vec![format!("{} acts", verified.entries)];
    if let Some((number, hash)) = &verified.newest {
        lines.push(format!("newest: {number} {}", hex::encode(hash)));
    }
    match verified.faults.split_first() {
        None => lines.push("the log is whole".to_owned()),
        Some((first, more)) => {
            lines.push(format!("the log breaks first at entry {}: {}", first.number, first.fault));
            lines.extend(more.iter().map(|fault| format!("  then at {}: {}", fault.number, fault.fault)));
        }
    }
    lines.join("\n")
}

fn whole(verified: &ActsVerified) -> String {
    let newest = verified.newest.map(|(number, hash)| json!({ "number": number, "hash": hex::encode(hash) }));
    let fault = |one: &metagame::core::act::ActFault| json!({ "number": one.number, "fault": one.fault });
    json!({
        "whole": verified.faults.is_empty(),
        "acts": verified.entries,
        "newest": newest,
        "faults": verified.faults.iter().map(fault).collect::<Vec<_>>(),
    })
    .to_string()
}
