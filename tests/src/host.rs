//! Where a process of a test runs: on this machine's own network, or on a host of its own inside of it.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Command;

/// A namespace of the network (see [`crate::real::network`]), or this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub address: Ipv4Addr,
    pub(crate) namespace: Option<String>,
}

impl Host {
    /// This machine.
    pub fn local() -> Host {
        Host { address: Ipv4Addr::LOCALHOST, namespace: None }
    }

    /// This machine at another of its addresses: all that begin with 127 are.
    pub fn also_local(last: u8) -> Host {
        Host { address: Ipv4Addr::new(127, 0, 0, last), namespace: None }
    }

    /// Runs a program there. The process is the program itself: `ip` becomes it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match &self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
        }
    }
}
