//! Compiles the services' `.proto` files with protox, so that no `protoc` needs to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "muster/v1/common.proto",
        "muster/v1/control.proto",
        "muster/v1/allocator.proto",
        "muster/v1/matchmaker.proto",
        "muster/v1/gateway.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    agones_allocation()
}

/// Agones' allocation service, whose messages are JSON as well: numbers of 64 bits as text, enums by name.
fn agones_allocation() -> Result<(), Box<dyn std::error::Error>> {
    let json = |adapter: &str| format!("#[serde(with = \"crate::agones_allocation::json::{adapter}\")]");
    let mut build = tonic_prost_build::configure()
        .btree_map(".allocation")
        .message_attribute(".allocation", "#[derive(serde::Serialize, serde::Deserialize)]")
        .message_attribute(".allocation", "#[serde(default, rename_all = \"camelCase\", deny_unknown_fields)]");
    for field in [
        "CounterSelector.minCount",
        "CounterSelector.maxCount",
        "CounterSelector.minAvailable",
        "CounterSelector.maxAvailable",
        "ListSelector.minAvailable",
        "ListSelector.maxAvailable",
    ] {
        build = build.field_attribute(format!(".allocation.{field}"), json("int64"));
    }
    for field in [
        "CounterAction.amount",
        "CounterAction.capacity",
        "ListAction.capacity",
        "AllocationResponse.CounterStatus.count",
        "AllocationResponse.CounterStatus.capacity",
        "AllocationResponse.ListStatus.capacity",
    ] {
        build = build.field_attribute(format!(".allocation.{field}"), json("optional_int64"));
    }
    for (field, adapter) in [
        ("AllocationRequest.scheduling", "scheduling"),
        ("LabelMatchExpressions.operator", "operator"),
        ("GameServerSelector.gameServerState", "state"),
        ("Priority.type", "priority_type"),
        ("Priority.order", "priority_order"),
    ] {
        build = build.field_attribute(format!(".allocation.{field}"), json(adapter));
    }
    build.compile_fds(protox::compile(["agones/allocation.proto"], ["proto"])?)?;
    Ok(())
}
