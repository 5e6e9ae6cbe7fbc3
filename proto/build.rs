use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

const PROTO: &str = "proto/outrigger/v1/outrigger.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");

    let descriptors = protox::compile([PROTO], ["proto"])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("outrigger.v1.bin"), descriptors.encode_to_vec())?;

    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
