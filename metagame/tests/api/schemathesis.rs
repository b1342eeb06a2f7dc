//! The API against its own document, by somebody who knows nothing but that: schemathesis makes requests that the document
//! allows and such as it forbids, alone and one after the other, and compares every answer with what the document promises.
//!
//! `cargo xtask test` installs schemathesis into `target/schemathesis`; by hand:
//! `pip install --target target/schemathesis -r metagame/tests/schemathesis/requirements.txt`. `cargo xtask schemathesis` runs
//! this test alone, and with `--cases` as many as you like.

use std::process::Stdio;

use tokio::process::Command;

use super::harness::Harness;
use super::kv::service_token;
use super::whole::Whole;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Cases for each operation, where nobody says how many: with these it takes about two minutes.
const CASES: u32 = 3;
/// Walks from operation to operation for each such case.
const WALKS: u32 = 10;
/// What is compared. Not here: `positive_data_acceptance`, since no document says which ids there are.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,allow_header_conformance,\
ignored_auth,use_after_free,ensure_resource_availability";

/// Runs these phases of it to their end; what it says.
async fn look(harness: &Harness, phases: &str, cases: u32, seed: &str) -> String {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let mut command = Command::new(&python);
    command.args(["-m", "schemathesis.cli"]).env("PYTHONPATH", format!("{ROOT}/target/schemathesis"));
    command.args(["--config-file", &format!("{ROOT}/metagame/tests/schemathesis/schemathesis.toml")]);
    command.args(["run", &harness.url("/openapi.json"), "--url", &harness.url(""), "--checks", CHECKS]);
    command.args(["--phases", phases, "--max-examples", &cases.to_string(), "--seed", seed]);
    // As Ada's friend: she has second factors, which nobody here can show.
    command.env("MUSTER_DEVICE", format!("02{:030x}", 7)).env("MUSTER_SERVICE_TOKEN", service_token(harness));
    command.current_dir(harness.folder.path()).kill_on_drop(true).stdin(Stdio::null());
    let output = command.output().await.expect("python3 is installed");
    let (said, faults) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    eprintln!("{said}");
    let hint = "schemathesis found something, or is missing (`cargo xtask test` installs it)";
    assert!(output.status.success(), "{hint}: {faults}");
    said.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_that_the_document_does_not_say() {
    let whole = Whole::start().await;
    whole.live().await;
    let said = |variable: &str| std::env::var(variable).ok();
    let more = said("MUSTER_SCHEMATHESIS_CASES").map(|cases| cases.parse::<u32>().expect("a number of cases"));
    let (cases, seed) = (more.unwrap_or(CASES), said("MUSTER_SCHEMATHESIS_SEED").unwrap_or_else(|| "1".into()));
    eprintln!("schemathesis: {cases} cases for each operation, seed {seed}");
    let alone = if more.is_some() { "examples,coverage,fuzzing" } else { "examples,coverage" };
    let text = look(&whole.harness, alone, cases, &seed).await;
    assert!(text.contains("Coverage") && text.contains("No issues found"), "it has run: {text}");
    let text = look(&whole.harness, "stateful", cases.saturating_mul(WALKS), &seed).await;
    assert!(text.contains("Scenarios:") && text.contains("No issues found"), "it has run: {text}");
}
