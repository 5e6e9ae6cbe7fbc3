//! One turn of a process that restores: it says when it holds everything, waits while it is looked at, and
//! ends with 0 when that was true.

use std::env;
use std::io::{Read, stdin};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{copy, ingest, raw};
use crate::kafka::java;
use crate::process::Process;

const TURN_MAX: Duration = Duration::from_secs(600);

/// What a contender says that has to prepare something that is not measured; it begins when it is told to.
const PREPARED: &str = "prepared";
const RESTORED: &str = "restored";

/// What Java's contenders get: a heap of several times what either needs, and no share of the machine's memory; and the
/// collector with which Kafka Streams was quickest on two cores (4.4 s; with the default one 5.0 s, also with four
/// times the heap).
const FLAGS: [&str; 3] =
    ["-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"];

pub(super) struct Turn {
    pub(super) took: Duration,
    pub(super) peak_mib: f64,
    pub(super) cpu: Duration,
}

/// Runs one of Java's contenders: its class, and what its `main` takes.
pub(super) fn java_turn(class: &str, arguments: &[&str], directory: &Path) -> Result<Turn> {
    let lib = env::var("OUTRIGGER_CONTENDERS_LIB").unwrap_or_default();
    ensure!(
        Path::new(&lib).is_dir(),
        "OUTRIGGER_CONTENDERS_LIB={lib} has no contenders: use ./x bench"
    );
    let mut command = Command::new(java::program());
    command
        .args(FLAGS)
        .arg("-cp")
        .arg(format!("{lib}/*:{lib}"))
        .arg(class)
        .args(arguments)
        .arg(directory);
    let mut process = Process::start(command)?;
    turn(&mut process, Duration::ZERO).and_then(|turn| ended(process, turn))
}

/// Runs [`contend`] in a process of its own.
pub(super) fn raw_turn(bootstrap: &str, topic: &str, records: u64) -> Result<Turn> {
    let mut process = contender(&["raw", bootstrap, topic, &records.to_string()])?;
    turn(&mut process, Duration::ZERO).and_then(|turn| ended(process, turn))
}

pub(super) fn ingest_turn(directory: &Path, records: u64, keys: u64) -> Result<Turn> {
    let directory = directory.to_str().context("a path of text")?;
    let mut process = contender(&["ingest", directory, &records.to_string(), &keys.to_string()])?;
    process.line_with(&[PREPARED], TURN_MAX)?;
    let preparing = process.usage()?.cpu;
    process.say("go on")?;
    turn(&mut process, preparing).and_then(|turn| ended(process, turn))
}

/// One process gives the files of a directory to another one, which puts them into another directory.
pub(super) fn copy_turn(from: &Path, to: &Path) -> Result<Turn> {
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path of text");
    let mut giver = contender(&["give", &text(from)?])?;
    let line = giver.line_with(&[PREPARED], TURN_MAX)?;
    let port = line.rsplit(' ').next().context("a port")?;
    let mut taker = contender(&["take", port, &text(to)?])?;
    turn(&mut taker, Duration::ZERO).and_then(|turn| ended(taker, turn))
}

fn contender(arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(CONTEND).args(arguments);
    Process::start(command)
}

fn turn(process: &mut Process, cpu_before: Duration) -> Result<Turn> {
    let line = process.line_with(&[RESTORED], TURN_MAX)?;
    let usage = process.usage()?;
    let millis = line.strip_prefix(RESTORED).and_then(|millis| millis.trim().parse().ok());
    let took = Duration::from_millis(millis.with_context(|| format!("no time in `{line}`"))?);
    Ok(Turn { took, peak_mib: usage.peak_mib, cpu: usage.cpu.saturating_sub(cpu_before) })
}

fn ended(process: Process, turn: Turn) -> Result<Turn> {
    let (status, said) = process.end(TURN_MAX)?;
    ensure!(status.success(), "it ended with {status}:\n{said}");
    Ok(turn)
}

/// The argument by which the bench's own program becomes a contender.
const CONTEND: &str = "contend";

/// Does a contender's work when these are a contender's arguments. Returns false when they are not.
pub fn contend(args: &[String]) -> Result<bool> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [CONTEND, "raw", bootstrap, topic, records] => {
            restored(raw::consume(bootstrap, topic, records.parse()?)?)?;
        }
        [CONTEND, "ingest", directory, records, keys] => {
            let rows = ingest::Rows::prepare(records.parse()?, keys.parse()?)?;
            println!("{PREPARED}");
            stdin().read_line(&mut String::new())?;
            let (took, database) = rows.ingest(Path::new(directory))?;
            restored(took)?;
            rows.check(&database)?;
        }
        [CONTEND, "give", directory] => {
            copy::give(Path::new(directory), |port| println!("{PREPARED} {port}"))?;
        }
        [CONTEND, "take", port, directory] => {
            restored(copy::take(port.parse()?, Path::new(directory))?)?;
        }
        [CONTEND, ..] => bail!("no such contender: {args:?}"),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Says that everything is restored, and waits until this process was looked at.
fn restored(took: Duration) -> Result<()> {
    println!("{RESTORED} {}", took.as_millis());
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
