//! The CRDs as they are applied: a change of a schema shows in the diff of `yaml/`.

use std::path::Path;

#[test]
fn the_manifests_in_yaml_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let mut expected = Vec::new();
    for document in crds::documents() {
        let path = folder.join(format!("{}.yaml", document.name));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &document.yaml).expect("writable");
        }
        let stands = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stands == document.yaml, "{} is not what the types say: UPDATE_GOLDEN=1 writes it", path.display());
        expected.push(format!("{}.yaml", document.name));
    }
    let mut found: Vec<String> = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, expected, "no file but those of the types");
}

/// The API server bounds what CEL may cost, by the longest lists and texts that the schema allows: each array and each
/// free text that a rule walks over needs its maximum.
#[test]
fn every_list_of_a_spec_has_its_greatest_length() {
    for document in crds::documents() {
        let crd: serde_json::Value = serde_saphyr::from_str(&document.yaml).expect("YAML");
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let mut missing = Vec::new();
        walk(spec, "spec", &mut missing);
        assert!(missing.is_empty(), "{}: no maxItems at {missing:?}", document.name);
    }
}

fn walk(schema: &serde_json::Value, at: &str, missing: &mut Vec<String>) {
    // What Kubernetes itself defines is not walked by any rule.
    if ["spec.template.env", "spec.template.envFrom", "tolerations", "volumeMounts"].iter().any(|own| at.ends_with(own))
    {
        return;
    }
    if schema["type"] == "array" && schema["maxItems"].is_null() {
        missing.push(at.to_owned());
    }
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            walk(property, &format!("{at}.{name}"), missing);
        }
    }
    if schema["items"].is_object() {
        walk(&schema["items"], at, missing);
    }
}
