//! One static program as an OCI image in a tar archive. The same program gives the same bytes: no time, no user and no
//! order of a file system gets in.
//!
//! The archive is an OCI layout, and carries the index of `docker save` beside it, so containerd, Docker, Podman and
//! kind all load it.

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Who runs in the container: nobody that the node knows.
const USER: &str = "65532:65532";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What an image is called and says of itself.
pub(super) struct Image<'a> {
    /// Name with tag, as a pod names it.
    pub(super) tag: &'a str,
    /// One line for people.
    pub(super) title: &'a str,
    pub(super) version: &'a str,
    /// Its only file, at the root, and its entry point.
    pub(super) program: &'a str,
}

/// An image ready to be written.
pub(super) struct Packed {
    /// Of the manifest: `sha256:…`.
    pub(super) digest: String,
    /// The archive.
    pub(super) bytes: Vec<u8>,
}

/// Content under its digest, as registries keep it.
struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self { digest: hex::encode(Sha256::digest(&bytes)), bytes }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": format!("sha256:{}", self.digest), "size": self.bytes.len()})
    }
}

impl Image<'_> {
    /// Packs the program.
    ///
    /// # Errors
    /// If a name does not fit into a tar header.
    pub(super) fn pack(&self, executable: &[u8]) -> anyhow::Result<Packed> {
        let layer = Blob::new(self.layer(executable)?);
        let config = Blob::json(&self.config(&layer));
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG),
            "layers": [layer.descriptor(LAYER)],
        }));
        let index = Blob::json(&self.index(&manifest));
        let for_docker = json!([{"Config": config.path(), "RepoTags": [self.tag], "Layers": [layer.path()]}]);
        let mut files = vec![
            ("index.json".to_owned(), index.bytes),
            ("manifest.json".to_owned(), for_docker.to_string().into_bytes()),
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ];
        let digest = format!("sha256:{}", manifest.digest);
        files.extend([config, layer, manifest].map(|blob| (blob.path(), blob.bytes)));
        files.sort();
        let mut archive = Archive::new();
        for (path, bytes) in &files {
            archive.file(path, 0o644, bytes)?;
        }
        Ok(Packed { digest, bytes: archive.finish()? })
    }

    fn layer(&self, executable: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut layer = Archive::new();
        layer.file(self.program, 0o755, executable)?;
        layer.folder("tmp/", 0o1777)?;
        layer.finish()
    }

    fn config(&self, layer: &Blob) -> Value {
        json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": [format!("/{}", self.program)],
                "User": USER,
                "WorkingDir": "/tmp",
                "Labels": self.labels(),
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)]},
            "history": [{"created_by": "cargo xtask image"}],
        })
    }

    fn labels(&self) -> Value {
        json!({
            "org.opencontainers.image.title": self.program,
            "org.opencontainers.image.description": self.title,
            "org.opencontainers.image.version": self.version,
            "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
        })
    }

    fn index(&self, manifest: &Blob) -> Value {
        let mut entry = manifest.descriptor(MANIFEST);
        entry["platform"] = json!({"architecture": "amd64", "os": "linux"});
        let tag = self.tag.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        entry["annotations"] = json!({
            "io.containerd.image.name": self.tag,
            "org.opencontainers.image.ref.name": tag,
        });
        json!({"schemaVersion": 2, "manifests": [entry]})
    }
}

/// A tar archive whose entries belong to root and to the year 1970.
struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
        self.entry(path, mode, tar::EntryType::Regular, content)
    }

    fn folder(&mut self, path: &str, mode: u32) -> anyhow::Result<()> {
        self.entry(path, mode, tar::EntryType::Directory, &[])
    }

    fn entry(&mut self, path: &str, mode: u32, kind: tar::EntryType, content: &[u8]) -> anyhow::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(u64::try_from(content.len()).expect("a slice is shorter than 2^64"));
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        self.0.append_data(&mut header, path, content).with_context(|| format!("cannot pack {path}"))
    }

    fn finish(self) -> anyhow::Result<Vec<u8>> {
        Ok(self.0.into_inner()?)
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
