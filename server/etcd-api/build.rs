//! Compiles `etcd.proto` without `protoc`, which etcd's published clients ask for.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILE: &str = "etcd.proto";
    println!("cargo::rerun-if-changed={FILE}");
    let descriptors = protox::compile([FILE], ["."])?;
    tonic_prost_build::configure()
        .build_server(false)
        .bytes("PutRequest.value")
        .compile_fds(descriptors)?;
    Ok(())
}
