//! The API against its own document, by somebody who knows nothing but that: schemathesis makes requests that the document
//! allows and such as it forbids, alone and one after the other, and compares every answer with what the document promises.
//!
//! `cargo xtask test` installs schemathesis into `target/schemathesis`; by hand:
//! `pip install --target target/schemathesis -r metagame/tests/schemathesis/requirements.txt`. `cargo xtask schemathesis` runs
//! this test alone, and with `--cases` as many as you like.

use std::process::Stdio;

use tokio::process::Command;

use super::kv::service_token;
use super::whole::Whole;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Cases for each operation and phase, where nobody says how many: with these, and without the phase that goes on looking at
/// random, it takes one to two minutes.
const CASES: &str = "3";
const PHASES: &str = "examples,coverage,stateful";
/// What is compared. Not here: `positive_data_acceptance`, since no document says which ids there are.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,allow_header_conformance,\
ignored_auth,use_after_free,ensure_resource_availability";

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_that_the_document_does_not_say() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let mut command = Command::new(&python);
    command.args(["-m", "schemathesis.cli"]).env("PYTHONPATH", format!("{ROOT}/target/schemathesis"));
    let whole = Whole::start().await;
    whole.live().await;
    // As Ada's friend: she has second factors, which nobody here can show.
    let (harness, device) = (&whole.harness, format!("02{:030x}", 7));

    let said = |variable: &str| std::env::var(variable).ok();
    let (cases, phases) = match said("MUSTER_SCHEMATHESIS_CASES") {
        Some(cases) => (cases, format!("{PHASES},fuzzing")),
        None => (CASES.to_owned(), PHASES.to_owned()),
    };
    let seed = said("MUSTER_SCHEMATHESIS_SEED").unwrap_or_else(|| "1".into());
    println!("schemathesis: {cases} cases for each operation, seed {seed}");
    command.args(["--config-file", &format!("{ROOT}/metagame/tests/schemathesis/schemathesis.toml")]);
    command.args(["run", &harness.url("/openapi.json"), "--url", &harness.url(""), "--checks", CHECKS]);
    command.args(["--max-examples", &cases, "--seed", &seed, "--phases", &phases]);
    command.env("MUSTER_DEVICE", device).env("MUSTER_SERVICE_TOKEN", service_token(harness));
    command.current_dir(harness.folder.path()).kill_on_drop(true).stdin(Stdio::null());
    let output = command.output().await.expect("python3 is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(
        output.status.success(),
        "schemathesis found something, or is missing (`cargo xtask test` installs it): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("Stateful") && text.contains("passed"), "it has run, stateful too: {text}");
}
