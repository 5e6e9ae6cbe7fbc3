//! A network of hosts inside of this machine, each a namespace with an address of its own, and cuts between them.
//!
//! A hub holds a bridge; every host, and this machine, hangs on it by a virtual cable. Two hosts that are cut
//! apart send their frames for each other to an address that no card has: as on a cut wire, connections stay
//! open and nothing arrives. Needs root and `ip`. Whatever ends this process, a shell at the other end of a pipe
//! ends what runs on the hosts and removes them.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{self, Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};

use crate::host::Host;

/// No card has it: the second digit marks it as given by hand.
const NOBODY: &str = "02:00:00:00:00:01";

const HOSTS_MAX: usize = 200;

/// ctrl-c reaches the whole process group: the shell must survive it to do its work.
const SCRIPT: &str = "trap '' INT TERM HUP
names=
while read -r name; do names=\"$names $name\"; done
for name in $names; do kill -9 $(ip netns pids \"$name\"); ip netns del \"$name\"; done";

static NETWORKS: AtomicU32 = AtomicU32::new(0);

pub struct Network {
    hosts: Vec<Host>,
    /// How often each pair is cut apart at present. The lock is held while the cut is made; no other lock is taken
    /// under it.
    cuts: Mutex<BTreeMap<(Ipv4Addr, Ipv4Addr), u32>>,
    remover: Child,
}

impl Network {
    pub fn lay(hosts: usize) -> Result<Network> {
        ensure!(hosts <= HOSTS_MAX, "{hosts} hosts, {HOSTS_MAX} at most");
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let name = format!("or{}n{number}", process::id());
        let remover = remover()?;
        let mut network = Network { hosts: Vec::new(), cuts: Mutex::default(), remover };
        let hub = format!("{name}-hub");
        let net = free_net()?;
        network.namespace(&hub)?;
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
        ip(&["link", "add", &name, "type", "veth", "peer", "name", "root", "netns", &hub])?;
        ip(&["-n", &hub, "link", "set", "root", "master", "bridge", "up"])?;
        ip(&["addr", "add", &format!("198.18.{net}.1/24"), "dev", &name])?;
        ip(&["link", "set", &name, "up"])?;
        for number in 0..hosts {
            let last = u8::try_from(number + 2).expect("HOSTS_MAX is below 254");
            let address = Ipv4Addr::new(198, 18, net, last);
            network.host(&hub, format!("{name}-{number}"), address)?;
        }
        Ok(network)
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    fn host(&mut self, hub: &str, name: String, address: Ipv4Addr) -> Result<()> {
        self.namespace(&name)?;
        let port = format!("port{}", self.hosts.len());
        ip(&[
            "-n", hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &name,
        ])?;
        ip(&["-n", hub, "link", "set", &port, "master", "bridge", "up"])?;
        ip(&["-n", &name, "addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        self.hosts.push(Host { address, namespace: Some(name) });
        Ok(())
    }

    /// Makes a namespace. It is named to the remover first: what is half made is removed too.
    fn namespace(&mut self, name: &str) -> Result<()> {
        let pipe = self.remover.stdin.as_mut().expect("stdin is piped and only taken on drop");
        writeln!(pipe, "{name}").context("naming a namespace to its remover")?;
        ip(&["netns", "add", name])
    }

    /// Nothing passes between the two until each cut is mended.
    pub fn cut(&self, one: &Host, other: &Host) -> Result<()> {
        let mut cuts = self.cuts.lock().expect("nobody panics while cutting");
        let count = cuts.entry(pair(one, other)).or_default();
        *count += 1;
        if *count == 1 {
            misdirect(one, other)?;
            misdirect(other, one)?;
        }
        Ok(())
    }

    pub fn mend(&self, one: &Host, other: &Host) -> Result<()> {
        let mut cuts = self.cuts.lock().expect("nobody panics while cutting");
        let count = cuts.get_mut(&pair(one, other)).context("the two are not cut apart")?;
        ensure!(*count > 0, "the two are not cut apart");
        *count -= 1;
        if *count == 0 {
            direct(one, other)?;
            direct(other, one)?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        if let Err(error) = self.remover.wait() {
            eprintln!("the namespaces' remover was not waited for: {error}");
        }
    }
}

fn remover() -> Result<Child> {
    Command::new("sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting sh")
}

/// The third number of a network that nobody here uses, of the range that is reserved for tests of networks.
fn free_net() -> Result<u8> {
    let first = process::id() % 256;
    for step in 0..256 {
        let net = u8::try_from((first + step) % 256).expect("below 256");
        let net_is = format!("198.18.{net}.0/24");
        let output = Command::new("ip").args(["-4", "route", "show", &net_is]).output();
        let output = output.context("starting ip (package iproute2)")?;
        if output.status.success() && output.stdout.is_empty() {
            return Ok(net);
        }
    }
    bail!("every network below 198.18.0.0/16 is in use")
}

fn pair(one: &Host, other: &Host) -> (Ipv4Addr, Ipv4Addr) {
    (one.address.min(other.address), one.address.max(other.address))
}

fn misdirect(from: &Host, to: &Host) -> Result<()> {
    let to = to.address.to_string();
    neighbour(from, &["replace", &to, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent"])
}

fn direct(from: &Host, to: &Host) -> Result<()> {
    neighbour(from, &["del", &to.address.to_string(), "dev", "eth0"])
}

fn neighbour(host: &Host, change: &[&str]) -> Result<()> {
    let namespace = host.namespace.as_ref().context("this machine is not cut off from itself")?;
    let args: Vec<&str> = ["-n", namespace, "neigh"].iter().chain(change).copied().collect();
    ip(&args)
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output();
    let output = output.context("starting ip (package iproute2)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", args.join(" "), said.trim());
    Ok(())
}
