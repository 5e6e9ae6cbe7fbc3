//! A Kafka to play with, until somebody ends it: `./x kafka`. It ends only the brokers that it has started.

use std::ffi::OsString;
use std::io::{self, Write, stdout};
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{ptr, thread};

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::broker::Ports;
use super::cluster::Cluster;
use super::place::Place;
use super::ports;

/// Beside the 9092 that a Kafka of somebody else may have. Brokers listen from here on, their controllers behind them.
const FIRST_PORT: u16 = 19_092;

const READY_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// What the environment asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    brokers: u16,
    /// None: a directory that is removed at the end.
    data: Option<PathBuf>,
}

impl Asked {
    /// Reads BROKERS and KAFKA_DATA. An empty variable counts as one that is not set.
    pub fn of(variable: impl Fn(&str) -> Option<OsString>) -> Result<Asked> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let brokers = match variable("BROKERS") {
            None => 1,
            Some(number) if number == "1" => 1,
            Some(number) if number == "3" => 3,
            Some(other) => bail!("BROKERS is 1 or 3, not `{}`", other.display()),
        };
        Ok(Asked { brokers, data: variable("KAFKA_DATA").map(PathBuf::from) })
    }

    fn cluster(&self) -> Result<Cluster> {
        let Asked { brokers, data } = self;
        let place = match data {
            Some(path) => Place::kept(path, usize::from(*brokers))?,
            None => Place::temporary()?,
        };
        let first = ports::row(FIRST_PORT, 2 * brokers)?;
        let ports =
            (first..first + brokers).map(|broker| Ports { broker, controller: broker + brokers });
        Cluster::at(place, ports)
    }
}

/// Whether this process was told to end. Told with its process group, as by ctrl-c, it knows that before any broker has
/// ended from it.
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    pub fn listen() -> Result<Signals> {
        let told = Arc::new(AtomicUsize::new(0));
        for (signal, code) in [(SIGHUP, 129), (SIGINT, 130), (SIGTERM, 143)] {
            if is_ignored(signal)? {
                continue;
            }
            signal_hook::flag::register_usize(signal, Arc::clone(&told), code)
                .context("listening to signals")?;
        }
        Ok(Signals(told))
    }

    /// The exit code that tells of the signal, once there was one.
    fn told_to_end(&self) -> Option<u8> {
        u8::try_from(self.0.load(Ordering::SeqCst)).ok().filter(|code| *code != 0)
    }
}

/// Whether this process is to go on when the signal comes, as `nohup` has it.
fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action, sigaction only writes what the action is now, to where there is room for it.
    let asked = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it has been written.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}

/// Runs a Kafka until a signal comes, and gives the exit code for it. An error when it does not come up, or when no
/// broker is left.
pub fn run(asked: &Asked, signals: &Signals) -> Result<u8> {
    let ended = asked.cluster().and_then(|mut cluster| {
        let watched = start(&mut cluster, signals).and_then(|()| watch(&mut cluster, signals));
        cluster.stop_all(Instant::now() + STOP_MAX)?;
        watched
    });
    // A signal also makes fail what it has ended.
    signals.told_to_end().map_or(ended, Ok)
}

fn start(cluster: &mut Cluster, signals: &Signals) -> Result<()> {
    cluster.spawn_all()?;
    let deadline = Instant::now() + READY_MAX;
    while signals.told_to_end().is_none() {
        if cluster.is_ready(deadline)? {
            let greeting = greeting(cluster);
            return stdout().write_all(greeting.as_bytes()).context("greeting");
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Three brokers survive the loss of one, and playing with that is what they are for.
fn watch(cluster: &mut Cluster, signals: &Signals) -> Result<u8> {
    loop {
        let ended = cluster.ended()?;
        if let Some(code) = signals.told_to_end() {
            return Ok(code);
        }
        for how in ended {
            eprintln!("{how}");
        }
        ensure!(cluster.pids().next().is_some(), "no broker is left");
        thread::sleep(POLL);
    }
}

fn greeting(cluster: &Cluster) -> String {
    let version = cluster.version().map_or(String::new(), |version| format!(" {version}"));
    let servers = cluster.bootstrap();
    let data = cluster.directory().display();
    let gone =
        if cluster.is_kept() { "" } else { "  (removed at the end; KAFKA_DATA=dir keeps it)" };
    let pids = cluster.pids().map(|pid| pid.to_string()).collect::<Vec<_>>().join(" ");
    format!(
        "Kafka{version} is up: {servers}
  data and logs  {data}{gone}
  broker pids    {pids}

Try, from other terminals:
  outrigger serve --bootstrap {servers} --store demo --create --data ./n1
  kcat -b {servers} -t demo -C -o beginning -f '%k = %s\\n'
  echo 'hello=world' | kcat -b {servers} -t demo -P -K= -X topic.partitioner=murmur2_random

ctrl-c ends it.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broker_or_three_are_asked_for() {
        let asked = |brokers: &str, data: &str| {
            Asked::of(|name| match name {
                "BROKERS" => Some(brokers.into()),
                "KAFKA_DATA" => Some(data.into()),
                _ => None,
            })
        };
        assert_eq!(Asked::of(|_| None).unwrap(), Asked { brokers: 1, data: None });
        assert_eq!(asked("", "").unwrap(), Asked { brokers: 1, data: None });
        assert_eq!(asked("3", "d").unwrap(), Asked { brokers: 3, data: Some("d".into()) });
        let wrong = asked("2", "").unwrap_err();
        assert_eq!(wrong.to_string(), "BROKERS is 1 or 3, not `2`");
    }
}
