use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

const PROTOS: [&str; 2] =
    ["proto/outrigger/v1/outrigger.proto", "proto/outrigger/peer/v1/peer.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for proto in PROTOS {
        println!("cargo:rerun-if-changed={proto}");
    }

    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("outrigger.bin"), descriptors.encode_to_vec())?;

    tonic_prost_build::configure()
        .extern_path(".outrigger.v1.WriteRequest", "crate::v1::WriteRequest")
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
