//! The folder where an installation on one machine keeps its accounts and keys, and what each service is given of it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use matchmaker::QueueSource;
use protocol::jwt::{KeySet, SigningKey};
use service::token::ServiceTokens;

use crate::exit::Failure;

/// The subfolder where game servers keep results until metagame has them.
pub(super) const SPOOL: &str = "spool";

/// An installation's folder: shared by the services of one installation, whether they share a process or not.
pub(crate) struct ServiceData {
    folder: PathBuf,
    /// Signs the service tokens of every program of this installation.
    pub(crate) service_key: Arc<SigningKey>,
    identity: Option<metagame::IdentitySettings>,
}

impl ServiceData {
    /// Opens the folder, making it and the service key at the first start.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let fault = |what: &str, error: std::io::Error| {
            Failure::setup(format!("cannot {what} the data folder {}: {error}", folder.display()))
                .help("choose a folder that this user may write with --data")
        };
        std::fs::create_dir_all(folder).map_err(|error| fault("make", error))?;
        let folder = folder.canonicalize().map_err(|error| fault("find", error))?;
        let service_key = Arc::new(service::key::load_or_create(&folder.join("service.key")).map_err(Failure::setup)?);
        Ok(Self { folder, service_key, identity: None })
    }

    /// With these ways to prove to be a player, where somebody has written them down.
    pub(crate) fn with_identity(self, identity: Option<metagame::IdentitySettings>) -> Self {
        Self { identity, ..self }
    }

    /// Keeps every other `program` (`platform` or `allocator`) away from the folder until the file is dropped.
    pub(crate) fn lock(&self, program: &str) -> Result<File, Failure> {
        let path = self.path(&format!("{program}.lock"));
        let lock = File::create(&path).map_err(|error| {
            Failure::setup(format!("cannot write {}: {error}", path.display()))
                .help("choose a folder that this user may write with --data")
        })?;
        if lock.try_lock().is_err() {
            return Err(Failure::setup(format!(
                "another {program} is using the data folder {}",
                self.folder.display()
            ))
            .help("stop it, or choose another folder with --data"));
        }
        Ok(lock)
    }

    /// A file or folder in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Verifies the installation's service tokens.
    fn service_keys(&self) -> Arc<KeySet> {
        Arc::new(KeySet::new([self.service_key.public_key()]))
    }

    /// Service tokens that say "I am `program`".
    fn tokens(&self, program: &str) -> ServiceTokens {
        ServiceTokens::new(Arc::clone(&self.service_key), program)
    }

    fn key(&self, name: &str) -> Result<Arc<SigningKey>, Failure> {
        service::key::load_or_create(&self.path(name)).map(Arc::new).map_err(Failure::setup)
    }

    /// What the allocator is given; takes the next epoch.
    pub(crate) fn allocator(&self, listen: SocketAddr, admin: SocketAddr) -> Result<allocator::Config, Failure> {
        Ok(allocator::Config {
            address: listen,
            admin_address: admin,
            signing_key: self.key("allocator.key")?,
            service_keys: self.service_keys(),
            epoch: allocator::epoch::advance(&self.path("epoch")).map_err(Failure::setup)?,
            expected: None,
            agones: None,
            timing: allocator::Timing::default(),
            limits: allocator::Limits::default(),
        })
    }

    /// What the matchmaker is given.
    pub(crate) fn matchmaker(
        &self,
        listen: SocketAddr,
        admin: SocketAddr,
        allocator: &str,
        queues: QueueSource,
        drain: Duration,
    ) -> matchmaker::Config {
        matchmaker::Config {
            listen,
            admin,
            allocator: allocator.to_owned(),
            queues,
            tokens: self.tokens("matchmaker"),
            callers: self.service_keys().into(),
            drain,
        }
    }

    /// Mail goes into a folder: nobody has set up a server yet.
    fn development_identity(&self) -> metagame::IdentitySettings {
        let mail = metagame::MailSettings {
            from: "Muster <muster@localhost.localdomain>".to_owned(),
            game: "Muster".to_owned(),
            way: metagame::MailWay::Folder(self.path("mail")),
        };
        metagame::IdentitySettings { mail: Some(mail), ..metagame::IdentitySettings::default() }
    }

    /// What metagame is given.
    pub(crate) fn metagame(
        &self,
        listen: SocketAddr,
        admin: SocketAddr,
        allocator: &str,
        matchmaker: &str,
        database: metagame::DatabaseLocation,
    ) -> metagame::Config {
        metagame::Config {
            api_address: listen,
            admin_address: admin,
            database,
            access_key_file: self.path("metagame.key"),
            access_key_mounted: false,
            vault_key_file: self.path("vault.key"),
            identity: self.identity.clone().unwrap_or_else(|| self.development_identity()),
            tokens: self.tokens("metagame"),
            matchmaker_url: matchmaker.to_owned(),
            allocator_url: allocator.to_owned(),
            limits: metagame::Limits::default(),
            webhooks: metagame::Webhooks::default(),
            servers: Some(self.service_keys().into()),
            parts: metagame::Parts::default(),
        }
    }
}

/// The same address with the next port; port 0 stays 0.
pub(crate) fn next_port(address: SocketAddr) -> SocketAddr {
    let port = if address.port() == 0 { 0 } else { address.port().saturating_add(1) };
    SocketAddr::new(address.ip(), port)
}
