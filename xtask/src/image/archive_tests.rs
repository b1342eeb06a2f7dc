//! What an image must be, whoever loads it.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Image, Packed};

const PROGRAM: &[u8] = b"\x7fELF and so on";

fn pack(tag: &str) -> Packed {
    let image = Image { tag, title: "A program", version: "1.2.3", program: "muster" };
    image.pack(PROGRAM).expect("a small image")
}

/// Every entry of an archive: mode, owner, group, time, content.
fn entries(archive: &[u8]) -> BTreeMap<String, (u32, [u64; 3], Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let (mode, marks) = (header.mode().unwrap(), [header.uid(), header.gid(), header.mtime()].map(Result::unwrap));
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), (mode, marks, content))
    };
    archive.entries().unwrap().map(read).collect()
}

/// The blob that a descriptor names, checked against its digest and size.
fn blob(files: &BTreeMap<String, (u32, [u64; 3], Vec<u8>)>, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let content = files[&format!("blobs/sha256/{digest}")].2.clone();
    assert_eq!(hex::encode(Sha256::digest(&content)), digest);
    assert_eq!(descriptor["size"], content.len());
    content
}

#[test]
fn the_same_program_gives_the_same_bytes_and_another_tag_keeps_the_digest() {
    let (one, again, other) = (pack("localhost/muster:1"), pack("localhost/muster:1"), pack("registry/muster:2"));
    assert_eq!(one.bytes, again.bytes);
    assert_eq!(one.digest, other.digest, "the name is not part of the content");
    assert_ne!(one.bytes, other.bytes);
}

#[test]
fn every_descriptor_names_content_that_is_there_with_its_digest_and_size() {
    let packed = pack("localhost/muster:1.2.3");
    let files = entries(&packed.bytes);
    let index: Value = serde_json::from_slice(&files["index.json"].2).unwrap();
    let entry = &index["manifests"][0];
    assert_eq!(entry["digest"], packed.digest);
    assert_eq!(entry["annotations"]["io.containerd.image.name"], "localhost/muster:1.2.3");
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1.2.3");
    let manifest: Value = serde_json::from_slice(&blob(&files, entry)).unwrap();
    let config: Value = serde_json::from_slice(&blob(&files, &manifest["config"])).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"], "the layer is not compressed");
    let for_docker: Value = serde_json::from_slice(&files["manifest.json"].2).unwrap();
    for path in [&for_docker[0]["Config"], &for_docker[0]["Layers"][0]] {
        assert!(files.contains_key(path.as_str().unwrap()), "{path}");
    }
}

#[test]
fn the_program_runs_as_nobody_and_is_the_only_file() {
    let files = entries(&pack("localhost/muster:1").bytes);
    let index: Value = serde_json::from_slice(&files["index.json"].2).unwrap();
    let manifest: Value = serde_json::from_slice(&blob(&files, &index["manifests"][0])).unwrap();
    let config: Value = serde_json::from_slice(&blob(&files, &manifest["config"])).unwrap();
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"][0], "/muster");
    let layer = entries(&blob(&files, &manifest["layers"][0]));
    assert_eq!(layer.keys().collect::<Vec<_>>(), ["muster", "tmp/"]);
    assert_eq!(layer["muster"], (0o755, [0; 3], PROGRAM.to_vec()));
    assert_eq!(layer["tmp/"].0, 0o1777);
}
