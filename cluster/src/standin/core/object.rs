//! Agones' objects as JSON, so that no field is lost that the stand-in does not know.

use agones::State;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, DynamicObject};
use serde_json::Value;

/// An object of any kind.
pub type Object = DynamicObject;

/// Finalizer of every GameServer: its pod goes first.
pub const FINALIZER: &str = "agones.dev/controller";
/// On a GameServer: it runs elsewhere, at this address, and has no pod.
pub const DEV_ADDRESS: &str = "agones.dev/dev-address";
/// Who made an object.
pub const VERSION_ANNOTATION: &str = "agones.dev/sdk-version";
/// When a GameServer came into state Error, RFC 3339.
pub const ERRORED_AT: &str = "agones.dev/errored-at";
/// When a GameServer was last allocated, RFC 3339.
pub const LAST_ALLOCATED: &str = "agones.dev/last-allocated";
/// Label with the name of the Fleet.
pub const FLEET: &str = "agones.dev/fleet";
/// Label with the name of the GameServerSet.
pub const SET: &str = "agones.dev/gameserverset";
/// Label of a pod: what it is for.
pub const ROLE: &str = "agones.dev/role";
/// Label of a pod with the name of its GameServer.
pub const GAME_SERVER: &str = "agones.dev/gameserver";

/// A kind of Agones'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `Fleet`.
    Fleet,
    /// `GameServerSet`: the servers of one template of a Fleet.
    Set,
    /// `GameServer`.
    Server,
    /// `FleetAutoscaler`, of a group of its own.
    Autoscaler,
}

impl Kind {
    /// Its name in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fleet => "Fleet",
            Self::Set => "GameServerSet",
            Self::Server => "GameServer",
            Self::Autoscaler => "FleetAutoscaler",
        }
    }

    /// Where the API server has it.
    pub fn resource(self) -> ApiResource {
        let group = match self {
            Self::Autoscaler => "autoscaling.agones.dev",
            _ => "agones.dev",
        };
        ApiResource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            api_version: format!("{group}/v1"),
            kind: self.name().to_owned(),
            plural: format!("{}s", self.name().to_lowercase()),
        }
    }
}

/// The text at a JSON pointer; empty where there is none.
pub fn text<'a>(object: &'a Object, pointer: &str) -> &'a str {
    object.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer; 0 where there is none.
pub fn number(object: &Object, pointer: &str) -> u64 {
    object.data.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// Its label; empty where there is none.
pub fn label<'a>(object: &'a Object, key: &str) -> &'a str {
    object.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map_or("", String::as_str)
}

/// Its annotation.
pub fn annotation<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(key)).map(String::as_str)
}

/// Its name; every object that the API server has has one.
pub fn name(object: &Object) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

/// The state of a GameServer.
pub fn state(server: &Object) -> State {
    State::parse(text(server, "/status/state"))
}

/// The address of a development server.
pub fn dev_address(server: &Object) -> Option<&str> {
    annotation(server, DEV_ADDRESS)
}

/// Whether someone has asked for its deletion.
pub fn is_deleting(object: &Object) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

/// Whether a GameServer is on its way out, by deletion or by its own wish.
pub fn is_leaving(server: &Object) -> bool {
    is_deleting(server) || state(server) == State::Shutdown
}

/// The one owner that controls it.
pub fn controller(object: &Object) -> Option<&OwnerReference> {
    object.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Whether `owner` controls it.
pub fn is_controlled_by(object: &Object, owner: &Object) -> bool {
    controller(object).is_some_and(|by| Some(&by.uid) == owner.metadata.uid.as_ref())
}

/// A reference by which `owner` controls what it makes.
pub fn owned_by(owner: &Object, kind: Kind) -> OwnerReference {
    OwnerReference {
        api_version: "agones.dev/v1".to_owned(),
        kind: kind.name().to_owned(),
        name: name(owner).to_owned(),
        uid: owner.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
