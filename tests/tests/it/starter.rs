//! `./x kafka` as whoever plays with it meets it: the built starter, its brokers, and what ends them.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_core::offset::{Offset, Partition};
use outrigger_tests::kafka::{Isolation, Topic, TopicSpec};
use outrigger_tests::process::Process;
use tempfile::TempDir;

const UP_MAX: Duration = Duration::from_secs(90);
const END_MAX: Duration = Duration::from_secs(60);
const FIRST_PORT: u16 = 19_092;

/// Held until what was started is up.
static STARTING: Mutex<()> = Mutex::new(());

/// A Kafka that has said that it is up.
struct Started {
    process: Process,
    bootstrap: String,
    data: PathBuf,
    broker: String,
}

impl Started {
    fn with(data: Option<&Path>) -> Result<Started> {
        // Two that look for ports at the same time find the same ones free, until one of them listens there.
        let _turn = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut process = Process::start(starter(data, "1"))?;
        let up = process.line_with(&["Kafka ", " is up: "], UP_MAX)?;
        let data = process.line_with(&["data and logs  "], END_MAX)?;
        let broker = process.line_with(&["broker pids    "], END_MAX)?;
        process.line_with(&["ctrl-c ends it."], END_MAX)?;
        let word = |line: &str, number| -> Result<String> {
            Ok(line.split_whitespace().nth(number).context("a line has words")?.to_owned())
        };
        Ok(Started {
            bootstrap: word(&up, 4)?,
            data: word(&data, 3)?.into(),
            broker: word(&broker, 2)?,
            process,
        })
    }

    fn port(&self) -> Result<u16> {
        let port = self.bootstrap.strip_prefix("127.0.0.1:").context("it is on this machine")?;
        Ok(port.parse()?)
    }

    /// As ctrl-c does it: the brokers get it too.
    fn interrupt(&self) -> Result<()> {
        signal("-INT", &format!("-{}", self.process.id()))
    }

    fn ended_with(self, code: i32) -> Result<String> {
        let (status, said) = self.process.end(END_MAX)?;
        ensure!(status.code() == Some(code), "{status}, not {code}:\n{said}");
        ensure!(!is_running(&self.broker)?, "broker {} is left:\n{said}", self.broker);
        Ok(said)
    }
}

fn starter(data: Option<&Path>, brokers: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafka"));
    // A terminal gives each command a process group.
    command.env("BROKERS", brokers).env_remove("KAFKA_DATA").process_group(0);
    if let Some(data) = data {
        command.env("KAFKA_DATA", data);
    }
    // Nor does it ignore ctrl-c, as a shell does for what it runs in the background, this test perhaps.
    // SAFETY: between fork and exec nothing is done but this call, which takes two numbers.
    unsafe {
        command.pre_exec(|| match libc::signal(libc::SIGINT, libc::SIG_DFL) {
            libc::SIG_ERR => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    command
}

/// Is told why it does not start.
fn refused(data: Option<&Path>, brokers: &str) -> Result<String> {
    let (status, said) = Process::start(starter(data, brokers))?.end(END_MAX)?;
    ensure!(status.code() == Some(1) && said.starts_with("kafka: "), "{status}:\n{said}");
    Ok(said)
}

fn signal(signal: &str, to: &str) -> Result<()> {
    let sent = Command::new("kill").args([signal, "--", to]).status()?;
    ensure!(sent.success(), "kill {signal} {to}: {sent}");
    Ok(())
}

fn is_running(pid: &str) -> Result<bool> {
    Ok(Command::new("kill").args(["-0", pid]).output()?.status.success())
}

fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + END_MAX;
    while !holds()? {
        ensure!(Instant::now() < deadline, "not within {END_MAX:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn a_taken_port_is_passed_over_and_ctrl_c_takes_everything_away() -> Result<()> {
    // Where it cannot be taken it is taken already.
    let taken = TcpListener::bind(("127.0.0.1", FIRST_PORT));
    let kafka = Started::with(None)?;
    let port = kafka.port()?;
    ensure!(port > FIRST_PORT && (port - FIRST_PORT).is_multiple_of(100), "{port}");
    drop(taken);
    let data = kafka.data.clone();
    ensure!(data.join("broker-1/data").is_dir(), "{}", data.display());
    kafka.interrupt()?;
    let said = kafka.ended_with(130)?;
    ensure!(said.contains("KAFKA_DATA=dir keeps it") && !said.contains("ended with"), "{said}");
    ensure!(!data.exists(), "{} is left", data.display());
    Ok(())
}

#[test]
fn kept_data_is_there_again_for_as_many_brokers_and_for_one_starter_at_a_time() -> Result<()> {
    let dir = TempDir::new()?;
    let home = dir.path().join("kafka");
    let kafka = Started::with(Some(&home))?;
    let topic = Topic::create(&kafka.bootstrap, "kept", TopicSpec::store().replicas(1))?;
    topic.put(Partition(0), b"key", Some(b"value"))?;
    ensure!(refused(Some(&home), "1")?.contains("another `./x kafka` runs in"));
    signal("-TERM", &kafka.process.id().to_string())?;
    let said = kafka.ended_with(143)?;
    ensure!(!said.contains("KAFKA_DATA=dir keeps it"), "{said}");

    let said = refused(Some(&home), "3")?;
    ensure!(said.contains("a Kafka of BROKERS=1") && said.contains("another directory"), "{said}");

    let mut kafka = Started::with(Some(&home))?;
    let topic = Topic::existing(&kafka.bootstrap, "kept", 1)?;
    let records = topic.read(Partition(0), Offset::ZERO, Isolation::Committed)?;
    ensure!(records.len() == 1 && records[0].value.as_deref() == Some(b"value"), "{records:?}");
    signal("-KILL", &kafka.broker)?;
    kafka.process.line_with(&[&kafka.broker, "ended with", "signal: 9"], END_MAX)?;
    let said = kafka.ended_with(1)?;
    ensure!(said.contains("no broker is left") && said.contains("Kafka Server started"), "{said}");
    ensure!(home.join("broker-1/data").is_dir());
    Ok(())
}

#[test]
fn a_killed_starter_leaves_nothing() -> Result<()> {
    let Started { process, data, broker, .. } = Started::with(None)?;
    process.kill()?;
    until("the broker has ended", || Ok(!is_running(&broker)?))?;
    until("its data is gone", || Ok(!data.exists()))
}

#[test]
fn what_cannot_be_started_is_refused_and_nothing_is_touched() -> Result<()> {
    let said = refused(None, "2")?;
    ensure!(said.contains("BROKERS is 1 or 3, not `2`"), "{said}");
    let dir = TempDir::new()?;
    std::fs::write(dir.path().join("thesis"), "")?;
    let said = refused(Some(dir.path()), "1")?;
    ensure!(said.contains("is not empty and not from `./x kafka`"), "{said}");
    ensure!(std::fs::read_dir(dir.path())?.count() == 1);
    Ok(())
}
