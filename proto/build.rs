use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;
use prost_types::FileDescriptorSet;

const PROTOS: [&str; 2] =
    ["proto/outrigger/v1/outrigger.proto", "proto/outrigger/peer/v1/peer.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for proto in PROTOS {
        println!("cargo:rerun-if-changed={proto}");
    }

    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("outrigger.bin"), descriptors.encode_to_vec())?;
    fs::write(out_dir.join("rpc.rs"), rpcs(&paths(&descriptors)))?;

    tonic_prost_build::configure()
        .extern_path(".outrigger.v1.WriteRequest", "crate::v1::WriteRequest")
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Returns the path of every call of ours, in the order of the files.
fn paths(descriptors: &FileDescriptorSet) -> Vec<String> {
    let ours = descriptors.file.iter().filter(|file| file.package().starts_with("outrigger."));
    let services = ours.flat_map(|file| file.service.iter().map(move |service| (file, service)));
    let paths = services.flat_map(|(file, service)| {
        let path = move |name| format!("/{}.{}/{name}", file.package(), service.name());
        service.method.iter().map(move |method| path(method.name()))
    });
    paths.collect()
}

/// Returns an enum of all calls: whoever matches on it hears of a new one when it is compiled.
fn rpcs(paths: &[String]) -> String {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let each = |line: &dyn Fn(&str, &str) -> String| -> String {
        paths.iter().map(|path| line(&name(path), path)).collect()
    };
    let variants = each(&|name, path| format!("    /// `{path}`\n    {name},\n"));
    let all = each(&|name, _| format!("        Rpc::{name},\n"));
    let of_rpc = each(&|name, path| format!("            Rpc::{name} => {path:?},\n"));
    let of_path = each(&|name, path| format!("            {path:?} => Some(Rpc::{name}),\n"));
    let count = paths.len();
    format!(
        "/// Every call of the protocol, by the path that HTTP/2 names it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rpc {{
{variants}}}

impl Rpc {{
    /// All of them, in the order of the .proto files.
    pub const ALL: [Rpc; {count}] = [
{all}    ];

    /// The path of the call.
    pub fn path(self) -> &'static str {{
        match self {{
{of_rpc}        }}
    }}

    /// The call that has a path; `None` for those of other services.
    pub fn of(path: &str) -> Option<Rpc> {{
        match path {{
{of_path}            _ => None,
        }}
    }}
}}
"
    )
}
