//! Compiles the contract without `protoc`: protox parses, tonic-prost-build generates.

use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 13] = [
    "pinion/v1/admin.proto",
    "pinion/v1/audit.proto",
    "pinion/v1/environment.proto",
    "pinion/v1/figures.proto",
    "pinion/v1/forge.proto",
    "pinion/v1/gate.proto",
    "pinion/v1/notice.proto",
    "pinion/v1/index.proto",
    "pinion/v1/outcome.proto",
    "pinion/v1/pin.proto",
    "pinion/v1/pin_set.proto",
    "pinion/v1/policy.proto",
    "pinion/v1/rollout.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("pinion.v1.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
