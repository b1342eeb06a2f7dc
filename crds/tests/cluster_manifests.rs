//! The CRDs on a real API server: it takes them, takes good manifests, and refuses each bad one with a sentence that
//! says what to change.
//!
//! `refused/` has one fault in each manifest; its first line says what the API server must say. Needs kubectl and the
//! right to apply CRDs. Nothing is kept of the manifests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Muster's CRDs as they are here, on the cluster for all tests. A CRD of a newer release is put back to this one's.
static CRDS: LazyLock<()> = LazyLock::new(|| {
    let yaml = folder("yaml");
    let yaml = yaml.to_str().expect("a path of this repository");
    kubectl(&["apply", "--server-side", "--force-conflicts", "-f", yaml]).expect("the API server takes the CRDs");
    let crds = ["crd/gamefleets.muster.dev", "crd/matchqueues.muster.dev"];
    kubectl(&["wait", "--for=condition=Established", "--timeout=60s", crds[0], crds[1]]).expect("established");
});

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn the_api_server_takes_the_crds_and_the_cost_of_their_rules() {
    LazyLock::force(&CRDS);
    for name in ["gamefleets.muster.dev", "matchqueues.muster.dev"] {
        let conditions = "jsonpath={range .status.conditions[*]}{.type}={.status} {end}";
        let said = kubectl(&["get", "crd", name, "--output", conditions]).expect("there");
        assert!(said.contains("NamesAccepted=True") && said.contains("Established=True"), "{name}: {said}");
        assert!(!said.contains("NonStructuralSchema=True"), "{name}: {said}");
    }
}

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn good_manifests_are_taken() {
    LazyLock::force(&CRDS);
    for path in manifests("tests/taken") {
        create(&path).unwrap_or_else(|said| panic!("{}: {said}", path.display()));
    }
}

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn each_bad_manifest_is_refused_with_a_sentence_that_says_what_to_change() {
    LazyLock::force(&CRDS);
    let mut faults = Vec::new();
    for path in manifests("tests/refused") {
        let text = std::fs::read_to_string(&path).expect("readable");
        let first = text.lines().next().unwrap_or_default();
        let expected = first.strip_prefix("# refused: ").expect("the first line says what the API server says");
        match create(&path) {
            Ok(_) => faults.push(format!("{}: taken, expected {expected:?}", path.display())),
            Err(said) if !said.contains(expected) => {
                faults.push(format!("{}: expected {expected:?}, got {said:?}", path.display()));
            }
            Err(_) => {}
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// On a cluster alone: the local evaluation of rules does not compare the items of a list with what they were.
#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn where_a_region_runs_cannot_be_changed_and_other_regions_can() {
    LazyLock::force(&CRDS);
    let namespace = format!("crds-{}", std::process::id());
    kubectl(&["create", "namespace", &namespace]).expect("a namespace");
    let path = folder("tests/taken/fleet-with-everything.yaml");
    let of = |arguments: &[&str]| kubectl(&[arguments, &["--namespace", &namespace]].concat());
    let made = of(&["create", "-f", path.to_str().expect("a path of this repository")]);
    let name = of(&["get", "gamefleets", "--output", "name"]).unwrap_or_default();
    let patch = |patch: &str| of(&["patch", name.trim(), "--type=json", "--patch", patch]);
    let elsewhere = patch(r#"[{"op": "add", "path": "/spec/regions/0/nodeSelector", "value": {"zone": "b"}}]"#);
    let tolerant =
        patch(r#"[{"op": "add", "path": "/spec/regions/0/tolerations", "value": [{"operator": "Exists"}]}]"#);
    let anywhere = patch(r#"[{"op": "remove", "path": "/spec/regions/0/nodeSelector"}]"#);
    let another =
        patch(r#"[{"op": "add", "path": "/spec/regions/-", "value": {"name": "xx", "nodeSelector": {"zone": "b"}}}]"#);
    kubectl(&["delete", "namespace", &namespace, "--wait=false"]).expect("the namespace goes");
    made.expect("made");
    for (said, field) in [(elsewhere, "nodeSelector"), (anywhere, "nodeSelector"), (tolerant, "tolerations")] {
        let said = said.expect_err("where it runs");
        assert!(said.contains(&format!("{field} of a region cannot be changed")), "{said}");
    }
    another.expect("one more region");
}

fn create(manifest: &Path) -> Result<String, String> {
    let path = manifest.to_str().expect("a path of this repository");
    kubectl(&["create", "--dry-run=server", "--validate=strict", "--namespace", "default", "-f", path])
}

fn manifests(within: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(within)).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{within} is empty");
    paths
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What kubectl prints, or complains of.
fn kubectl(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("kubectl").args(arguments).output().expect("kubectl starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
