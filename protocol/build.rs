//! Compiles the services' `.proto` files with protox, so that no `protoc` needs to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "muster/v1/common.proto",
        "muster/v1/control.proto",
        "muster/v1/allocator.proto",
        "muster/v1/matchmaker.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
