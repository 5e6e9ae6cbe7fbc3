//! A sidecar as its users run it: the built binary, as a child process, on a data directory of its own.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use outrigger_client::proto::v1::Phase;
use outrigger_client::{Client, Store, StoreStatus, Tls};

use crate::confine::MemoryGroup;
use crate::host::Host;
use crate::usage::Usage;

const STARTED_MAX: Duration = Duration::from_secs(20);
const ENDED_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Asking a port that nobody listens on costs next to nothing.
const CONNECT_POLL: Duration = Duration::from_millis(5);

/// The name of the store in every test.
pub const STORE: &str = "state";

/// One node: its directory and port stay the same however often its process starts.
pub struct Node {
    dir: PathBuf,
    host: Host,
    port: u16,
    args: Vec<String>,
    environment: Vec<(String, OsString)>,
    file_bytes_max: Option<u64>,
    open_files_max: Option<u64>,
    memory: Option<Arc<MemoryGroup>>,
    /// What it reads instead of `/etc/hosts`.
    hosts: Option<PathBuf>,
    /// Whom its callers trust, and who they are, where it speaks TLS.
    tls: Option<Tls>,
    /// Where the next process logs, instead of into a file.
    log: Option<OwnedFd>,
    process: Option<Child>,
    starts: usize,
}

impl Node {
    /// A node of `topic` below `parent`, not started.
    pub fn new(parent: &Path, name: &str, bootstrap: &str, topic: &str) -> Result<Node> {
        let args = ["--bootstrap", bootstrap, "--store", STORE, "--topic", topic];
        Node::with_settings(parent, name, &args)
    }

    /// The same with other settings than those of a single store.
    pub fn with_settings(parent: &Path, name: &str, args: &[&str]) -> Result<Node> {
        let dir = parent.join(name);
        std::fs::create_dir_all(&dir)?;
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Ok(Node {
            dir,
            host: Host::local(),
            port: free_port()?,
            args,
            environment: Vec::new(),
            file_bytes_max: None,
            open_files_max: None,
            memory: None,
            hosts: None,
            tls: None,
            log: None,
            process: None,
            starts: 0,
        })
    }

    pub fn with_args(mut self, args: &[&str]) -> Node {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Sets this variable for `serve`.
    pub fn with_env(mut self, name: &str, value: &OsStr) -> Node {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has everybody here call it so. Its settings must say the same.
    pub fn called_by(&mut self, tls: Option<Tls>) {
        self.tls = tls;
    }

    /// The next process reads this file instead of `/etc/hosts`, which takes root.
    pub fn know_hosts(&mut self, file: PathBuf) {
        self.hosts = Some(file);
    }

    /// The same port as another node, which is on another host.
    pub fn at(mut self, port: u16) -> Node {
        self.port = port;
        self
    }

    pub fn on(mut self, host: Host) -> Node {
        self.host = host;
        self
    }

    /// The process may write no file longer than this: a disk that is full where it matters.
    pub fn limit_files(&mut self, bytes: Option<u64>) {
        self.file_bytes_max = bytes;
    }

    /// The next process may have this many files and sockets open.
    pub fn limit_open_files(&mut self, files: Option<u64>) {
        self.open_files_max = files;
    }

    /// The next process runs in this group.
    pub fn confine(&mut self, memory: Arc<MemoryGroup>) {
        self.memory = Some(memory);
    }

    /// The next process logs there, and [`Node::log`] has nothing of it.
    pub fn log_into(&mut self, log: OwnedFd) {
        self.log = Some(log);
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// A new connection to it.
    pub async fn client(&self) -> Result<Client, outrigger_client::Error> {
        match &self.tls {
            Some(tls) => Client::connect_tls(&self.url(), tls).await,
            None => Client::connect(&self.url()).await,
        }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.host.address, self.port))
    }

    /// Everything that this process has logged since its last start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join(format!("log-{}", self.starts))
    }

    /// Starts the process and waits until its port answers.
    pub async fn start(&mut self) -> Result<()> {
        self.spawn()?;
        let deadline = Instant::now() + STARTED_MAX;
        while self.client().await.is_err() {
            if let Some(status) = self.process_mut()?.try_wait()? {
                bail!("the node ended at once with {status}:\n{}", self.log());
            }
            ensure!(Instant::now() < deadline, "no answer within {STARTED_MAX:?}:\n{}", self.log());
            tokio::time::sleep(CONNECT_POLL).await;
        }
        Ok(())
    }

    /// Starts the process and does not wait for it.
    pub fn spawn(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the node runs already");
        self.starts += 1;
        let log = File::create(self.log_path())?;
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(log.try_clone()?);
        match self.log.take() {
            Some(elsewhere) => command.stderr(elsewhere),
            None => command.stderr(log),
        };
        self.process = Some(command.spawn().context("starting outrigger")?);
        Ok(())
    }

    /// What `outrigger` says of the node from outside: `plan` or `doctor`, with its settings.
    pub fn look(&self, command: &str) -> Result<Output> {
        let mut look = self.host.command(binary());
        look.arg(command).arg("--data").arg(self.data()).args(&self.args);
        look.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        end_of(look.spawn().with_context(|| format!("starting outrigger {command}"))?)
    }

    /// `outrigger drop-quarantine` or `reset` on this node's disk, with these arguments.
    pub fn on_disk(&self, command: &str, arguments: &[&str]) -> Result<Output> {
        let mut process = self.host.command(binary());
        process.arg(command).arg("--data").arg(self.data());
        process.args(["--store", STORE]).args(arguments);
        process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        end_of(process.spawn().with_context(|| format!("starting outrigger {command}"))?)
    }

    /// What an operator asks of the running node: `outrigger COMMAND ARGUMENTS`.
    pub fn ask(&self, command: &str, arguments: &[&str]) -> Result<Output> {
        let mut process = self.host.command(binary());
        process.arg(command).args(arguments).args(["--server", &self.url()]);
        process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        end_of(process.spawn().with_context(|| format!("starting outrigger {command}"))?)
    }

    fn command(&self) -> Command {
        let mut bounds = String::new();
        if let Some(bytes) = self.file_bytes_max {
            // `ulimit -f` counts blocks of 1,024 bytes in bash.
            bounds += &format!("ulimit -f {} && ", bytes / 1_024);
        }
        if let Some(files) = self.open_files_max {
            bounds += &format!("ulimit -n {files} && ");
        }
        if let Some(memory) = &self.memory {
            bounds += &format!("echo $$ > '{}' && ", memory.entrance().display());
        }
        if let Some(hosts) = &self.hosts {
            bounds += &format!("mount --bind '{}' /etc/hosts && ", hosts.display());
        }
        let binary = binary();
        let mut command = if bounds.is_empty() {
            self.host.command(&binary)
        } else {
            let mut shell =
                self.host.command(if self.hosts.is_some() { "unshare" } else { "bash" });
            if self.hosts.is_some() {
                shell.args(["--mount", "bash"]);
            }
            shell.arg("-c").arg(bounds + "exec \"$0\" \"$@\"").arg(&binary);
            shell
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg("serve").arg("--data").arg(self.data());
        command.arg("--listen").arg(self.address().to_string()).args(&self.args);
        if !self.host.address.is_loopback() {
            // The network of a test is its own.
            command.arg("--insecure");
        }
        command
    }

    /// Whether a process was started and not yet ended from here; it may have ended by itself.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// How the process ended, when it did so by itself.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.as_mut().map(Child::try_wait).transpose()?.flatten())
    }

    /// Runs the process to its end, which must come by itself; for starts that must fail.
    pub fn run(&self) -> Result<Output> {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        end_of(command.spawn().context("starting outrigger")?)
    }

    /// Kills the process (SIGKILL).
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.process.take().context("the node does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM, and does not wait for anything.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(libc::SIGTERM)
    }

    /// Ends the process with SIGTERM. Returns how it ended.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(libc::SIGTERM)?;
        let child = self.process.take().context("the node does not run")?;
        Ok(end_of(child)?.status)
    }

    pub fn pause(&mut self) -> Result<()> {
        self.signal(libc::SIGSTOP)
    }

    pub fn resume(&mut self) -> Result<()> {
        self.signal(libc::SIGCONT)
    }

    /// Loses the disk.
    pub fn wipe(&self) -> Result<()> {
        ensure!(self.process.is_none(), "a running node's disk is not wiped");
        Ok(std::fs::remove_dir_all(self.data())?)
    }

    fn signal(&mut self, signal: libc::c_int) -> Result<()> {
        let id = i32::try_from(self.process_mut()?.id())?;
        // SAFETY: kill takes two integers; the process is a child that was not waited for yet.
        let result = unsafe { libc::kill(id, signal) };
        ensure!(result == 0, "kill: {}", std::io::Error::last_os_error());
        Ok(())
    }

    /// The id of its process.
    pub fn process(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("the node does not run")?.id())
    }

    /// What the process has taken since it was started.
    pub fn usage(&mut self) -> Result<Usage> {
        Usage::of(self.process_mut()?.id())
    }

    fn process_mut(&mut self) -> Result<&mut Child> {
        self.process.as_mut().context("the node does not run")
    }

    /// A new session with this node.
    pub async fn store(&self) -> Result<Store> {
        Ok(self.client().await?.store(STORE))
    }

    pub async fn status(&self) -> Result<StoreStatus> {
        Ok(self.store().await?.status().await?)
    }

    /// Waits until the status is as wanted.
    pub async fn until(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&StoreStatus) -> bool,
    ) -> Result<StoreStatus> {
        let deadline = Instant::now() + within;
        loop {
            let status = self.status().await;
            match status {
                Ok(status) if wanted(&status) => return Ok(status),
                status if Instant::now() >= deadline => {
                    bail!("{what}: not within {within:?}; {status:#?}\n{}", self.log())
                }
                Ok(_) | Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    pub async fn until_ready(&self) -> Result<StoreStatus> {
        self.until("READY", Duration::from_secs(90), |status| status.phase() == Phase::Ready).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The built `outrigger`, beside the directory of this test's own executable.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a running program knows its file");
    let directory = own.ancestors().find(|path| path.join("outrigger").is_file());
    let directory = directory
        .expect("`outrigger` is not built: run `cargo build --release -p outrigger`, or ./x test");
    directory.join("outrigger")
}

pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits for a child that ends by itself; kills it when it does not.
fn end_of(mut child: Child) -> Result<Output> {
    let deadline = Instant::now() + ENDED_MAX;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            child.kill()?;
            bail!("the process did not end within {ENDED_MAX:?}: {:?}", child.wait_with_output()?);
        }
        std::thread::sleep(POLL);
    }
    Ok(child.wait_with_output()?)
}
