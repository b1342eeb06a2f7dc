//! Help texts are part of the interface: a change shows up in review. `UPDATE_GOLDEN=1 cargo test` rewrites them.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{muster, run};

#[test]
fn help_texts_are_as_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for task in [
        "",
        "new",
        "demo",
        "up",
        "bots",
        "check-history",
        "doctor",
        "probe",
        "kubectl",
        "kubectl drain",
        "kubectl rollout",
        "maintenance",
        "minimum-build",
        "webhooks",
        "gameserver",
        "agent",
        "allocator",
        "matchmaker",
        "metagame",
        "kubernetes",
        "operator",
    ] {
        let mut command = muster();
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MUSTER_")) {
            command.env_remove(name);
        }
        command.args(task.split_whitespace()).arg("--help").env("COLUMNS", "100");
        let output = run(&mut command, Duration::from_secs(30));
        assert!(output.status.success(), "muster {task} --help");
        let text = String::from_utf8(output.stdout).expect("help is UTF-8");
        let path = folder.join(format!("help{}{task}.txt", if task.is_empty() { "" } else { "-" }).replace(' ', "-"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).expect("the golden file can be written");
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, golden, "muster {task} --help changed: UPDATE_GOLDEN=1 cargo test -p muster --test help");
    }
}
