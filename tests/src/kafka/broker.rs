//! One broker: its directory, its ports, and its process while it has one.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::{Context, Result, bail, ensure};
use outrigger_core::offset::Partition;

use super::java::Java;
use super::ports;
use super::secured::Secured;
use crate::host::Host;
use crate::weather::Proxy;

/// How much of a broker's log an error shows.
const LAST_LINES: usize = 15;

/// What a broker says goes here.
const LOG: &str = "broker.log";

pub(super) struct Broker {
    pub(super) id: usize,
    host: Host,
    pub(super) port: u16,
    controller_port: u16,
    outside: Option<Outside>,
    secured: Option<Secured>,
    home: PathBuf,
    process: Option<Child>,
    paused: AtomicBool,
}

/// Where a broker listens.
pub(super) struct Ports {
    pub(super) broker: u16,
    pub(super) controller: u16,
}

impl Ports {
    pub(super) fn free() -> Result<Ports> {
        Ok(Ports { broker: ports::free()?, controller: ports::free()? })
    }
}

/// A second way in, which is told to clients that come by it. Brokers talk to each other by the first.
struct Outside {
    port: u16,
    way: Way,
}

enum Way {
    Proxy(Proxy),
    /// The address that the broker tells of itself.
    Misnamed(String),
}

impl Broker {
    /// A broker that begins with what the directory of `cluster` has of it, but for what it said then.
    pub(super) fn new(id: usize, host: Host, cluster: &Path, ports: Ports) -> Result<Broker> {
        let home = cluster.join(format!("broker-{id}"));
        fs::create_dir_all(&home).with_context(|| format!("creating {}", home.display()))?;
        File::create(home.join(LOG)).with_context(|| format!("writing to {}", home.display()))?;
        let Ports { broker: port, controller: controller_port } = ports;
        Ok(Broker {
            id,
            host,
            port,
            controller_port,
            outside: None,
            secured: None,
            home,
            process: None,
            paused: AtomicBool::new(false),
        })
    }

    /// Gives it a way in through a proxy. To be called before it is configured.
    pub(super) fn behind_proxy(mut self) -> Result<Broker> {
        let port = ports::free()?;
        let proxy = Proxy::before((self.host.address, port).into())?;
        self.outside = Some(Outside { port, way: Way::Proxy(proxy) });
        Ok(self)
    }

    /// Gives it a way in by which it tells clients to go to `address`. To be called before it is configured.
    pub(super) fn misnamed(mut self, address: &str) -> Result<Broker> {
        let port = ports::free()?;
        self.outside = Some(Outside { port, way: Way::Misnamed(address.to_owned()) });
        Ok(self)
    }

    /// Gives it ways in for clients that say who they are. To be called before it is configured.
    pub(super) fn secured(mut self) -> Result<Broker> {
        self.secured = Some(Secured::new()?);
        Ok(self)
    }

    /// Where this listener is reached, when there is one of this name.
    pub(super) fn secured_address(&self, listener: &str) -> Option<String> {
        let listeners = self.secured.as_ref()?.listeners();
        let (_, port) = listeners.into_iter().find(|(name, _)| *name == listener)?;
        Some(format!("{}:{port}", self.host.address))
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        match &self.outside.as_ref()?.way {
            Way::Proxy(proxy) => Some(proxy),
            Way::Misnamed(_) => None,
        }
    }

    /// The address that whoever comes from outside uses.
    pub(super) fn outside(&self) -> Option<String> {
        let Outside { port, way } = self.outside.as_ref()?;
        Some(match way {
            Way::Proxy(proxy) => proxy.address(),
            Way::Misnamed(_) => format!("{}:{port}", self.host.address),
        })
    }

    pub(super) fn voter(&self) -> String {
        format!("{}@{}:{}", self.id, self.host.address, self.controller_port)
    }

    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host.address, self.port)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    pub(super) fn should_serve(&self) -> bool {
        self.process.is_some() && !self.paused.load(Ordering::Relaxed)
    }

    /// Writes its configuration: what makes it this broker, then the cluster's settings, the last of equal
    /// names winning.
    pub(super) fn configure(&self, voters: &str, settings: &[(String, String)]) -> Result<()> {
        let Broker { id, host, port, controller_port, home, .. } = self;
        let address = host.address;
        let (mut listens, mut advertised) = (String::new(), String::new());
        if let Some(Outside { port, way }) = &self.outside {
            listens = format!(",OUTSIDE://{address}:{port}");
            advertised = match way {
                Way::Proxy(proxy) => format!(",OUTSIDE://{}", proxy.address()),
                Way::Misnamed(address) => format!(",OUTSIDE://{address}"),
            };
        }
        for (name, port) in self.secured.iter().flat_map(Secured::listeners) {
            let listener = format!(",{name}://{address}:{port}");
            listens += &listener;
            advertised += &listener;
        }
        let mut text = format!(
            "process.roles=broker,controller\n\
             node.id={id}\n\
             controller.quorum.voters={voters}\n\
             listeners=PLAINTEXT://{address}:{port},CONTROLLER://{address}:{controller_port}{listens}\n\
             advertised.listeners=PLAINTEXT://{address}:{port}{advertised}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OUTSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,\
             SSL:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,MUTUAL:SSL\n\
             inter.broker.listener.name=PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             log.dirs={}\n",
            home.join("data").display()
        );
        for (key, value) in settings {
            writeln!(text, "{key}={value}").expect("a string takes all that memory holds");
        }
        fs::write(self.properties(), text).context("writing server.properties")
    }

    /// Begins to format the storage where it is not yet; several brokers do it side by side.
    pub(super) fn format(&self, java: &Java, cluster_id: &str) -> Result<Child> {
        java.command(&self.host, "kafka.tools.StorageTool")
            .args(["format", "--ignore-formatted", "--cluster-id", cluster_id, "--config"])
            .arg(self.properties())
            .stdout(self.log()?)
            .stderr(self.log()?)
            .spawn()
            .context("starting java")
    }

    pub(super) fn spawn(&mut self, java: &Java) -> Result<()> {
        ensure!(self.process.is_none(), "broker {} is running already", self.id);
        let process = java
            .command(&self.host, "kafka.Kafka")
            .arg(self.properties())
            .stdout(self.log()?)
            .stderr(self.log()?)
            .spawn()
            .context("starting java")?;
        self.process = Some(process);
        Ok(())
    }

    /// Returns an error with the end of its log when its process has ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.ended()?.map_or(Ok(()), |how| bail!("{how}"))
    }

    /// Tells once how its process has ended by itself, and what it said last.
    pub(super) fn ended(&mut self) -> Result<Option<String>> {
        let Some(process) = &mut self.process else {
            return Ok(None);
        };
        let Some(status) = process.try_wait().context("looking at a broker")? else {
            return Ok(None);
        };
        let pid = process.id();
        self.process = None;
        let said = self.last_lines();
        Ok(Some(format!("broker {} with pid {pid} ended with {status}:\n{said}", self.id)))
    }

    pub(super) fn kill(&mut self) -> io::Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        self.paused.store(false, Ordering::Relaxed);
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Begins its end with SIGTERM, which hands its leaderships over.
    pub(super) fn terminate(&self) -> Result<()> {
        self.signal(libc::SIGTERM)
    }

    /// Waits until its process has ended. At the deadline it is killed (SIGKILL).
    pub(super) fn await_end(&mut self, deadline: Instant) -> Result<()> {
        while let Some(process) = &mut self.process {
            if process.try_wait().context("waiting for a broker to stop")?.is_some() {
                self.process = None;
            } else if Instant::now() >= deadline {
                self.kill().context("killing a broker that does not stop")?;
            } else {
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    pub(super) fn pause(&self) -> Result<()> {
        self.signal(libc::SIGSTOP)?;
        self.paused.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn resume(&self) -> Result<()> {
        self.signal(libc::SIGCONT)?;
        self.paused.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn signal(&self, signal: libc::c_int) -> Result<()> {
        let pid = self.pid().with_context(|| format!("broker {} is not running", self.id))?;
        let pid = libc::pid_t::try_from(pid).expect("process ids fit pid_t");
        // SAFETY: kill takes two numbers; the process is our child and not waited for, so the id is its.
        let answer = unsafe { libc::kill(pid, signal) };
        ensure!(answer == 0, "signal to broker {}: {}", self.id, io::Error::last_os_error());
        Ok(())
    }

    /// Removes what this broker has of a partition, as a lost disk would.
    pub(super) fn wipe(&self, topic: &str, partition: Partition) -> Result<()> {
        let directory = self.partition(topic, partition)?;
        fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))
    }

    /// Keeps what this broker has of a partition, beside it.
    pub(super) fn keep(&self, topic: &str, partition: Partition) -> Result<()> {
        let (from, kept) = (self.partition(topic, partition)?, self.kept(topic, partition));
        fs::create_dir(&kept).with_context(|| format!("creating {}", kept.display()))?;
        for file in fs::read_dir(&from).with_context(|| format!("listing {}", from.display()))? {
            let file = file?;
            fs::copy(file.path(), kept.join(file.file_name()))?;
        }
        Ok(())
    }

    /// Makes the partition again what it was when it was kept.
    pub(super) fn put_back(&self, topic: &str, partition: Partition) -> Result<()> {
        self.wipe(topic, partition)?;
        let (kept, to) = (self.kept(topic, partition), self.partition(topic, partition)?);
        fs::rename(&kept, &to).with_context(|| format!("renaming {}", kept.display()))
    }

    fn partition(&self, topic: &str, partition: Partition) -> Result<PathBuf> {
        ensure!(self.process.is_none(), "kill broker {} before touching its disk", self.id);
        Ok(self.home.join("data").join(format!("{topic}-{partition}")))
    }

    fn kept(&self, topic: &str, partition: Partition) -> PathBuf {
        self.home.join(format!("kept-{topic}-{partition}"))
    }

    pub(super) fn last_lines(&self) -> String {
        let text = match fs::read(self.home.join(LOG)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => return format!("its log cannot be read: {error}"),
        };
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    fn properties(&self) -> PathBuf {
        self.home.join("server.properties")
    }

    fn log(&self) -> Result<Stdio> {
        let path = self.home.join(LOG);
        let file = File::options().create(true).append(true).open(&path);
        Ok(file.with_context(|| format!("opening {}", path.display()))?.into())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("broker {} was not killed: {error}", self.id);
        }
    }
}
