//! `load`: many writes through one Write stream, generated or read from lines.

mod answers;
mod lines;
mod pace;

use std::ffi::OsString;
use std::time::Instant;

use clap::builder::RangedU64ValueParser;
use indicatif::ProgressBar;
use outrigger_client::{Error as CallError, Pending, Store, Writer};
use tokio::sync::mpsc;

use self::answers::Answers;
use self::lines::Lines;
use self::pace::Pace;
use super::failure::Failure;
use super::form::Form;
use super::output::Output;
use super::target::Target;
use crate::exit::Exit;
use crate::workload::{Change, Mix, Workload};

/// Writes generated keys, or the rows of a file, as fast as the node takes them
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["count", "file"]))]
pub(super) struct LoadArgs {
    /// Rows to write, KEY<tab>VALUE a line, as `scan` prints them; `-` is standard input. Without --raw or --json a
    /// `\` begins an escape, as in `scan`
    file: Option<OsString>,
    /// Take the bytes of each line as they are, as other tools export them; a value ends with its line
    #[arg(long, conflicts_with_all = ["count", "json"])]
    raw: bool,
    /// An object a line, {"key":…,"value":…}, as `scan --json` prints them; a value of null deletes the key
    #[arg(long, conflicts_with = "count")]
    json: bool,
    /// Generate so many keys
    #[arg(long, value_name = "KEYS", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    count: Option<u64>,
    /// Size of generated values
    #[arg(long, value_name = "BYTES", default_value = "100", conflicts_with = "file")]
    value_bytes: u32,
    /// Write so many generated keys again, in between
    #[arg(long, value_name = "WRITES", default_value = "0", conflicts_with = "file")]
    overwrites: u64,
    /// Delete so many generated keys, in between; some may be written again later
    #[arg(long, value_name = "WRITES", default_value = "0", conflicts_with = "file")]
    deletes: u64,
    /// Equal seeds give equal writes
    #[arg(long, value_name = "NUMBER", default_value = "1", conflicts_with = "file")]
    seed: u64,
    /// At most so many writes a second
    #[arg(long, value_name = "WRITES", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    rate: Option<u64>,
    #[command(flatten)]
    target: Target,
}

/// Writes that are announced and not answered: as many as a writer lets wait, so that its bound is the one that slows
/// the load down.
const ANNOUNCED_MAX: usize = 1 << 15;

enum Source {
    Generated(Workload),
    Lines(Lines),
}

pub(super) async fn run(args: LoadArgs) -> Result<Exit, Failure> {
    let store = args.target.store().await?;
    let (mut source, bar) = args.open().await?;
    let began = Instant::now();
    let (announce, announced) = mpsc::channel(ANNOUNCED_MAX);
    let sending = send_all(&store, &mut source, Pace::new(args.rate), announce);
    let (sent, mut answers) = tokio::join!(sending, Answers::collect(announced, bar));
    print_summary(answers.written(), began)?;
    source.tell_of_escapes();
    if let Ok(Some(refused)) = &sent {
        answers.take(Err(refused.clone()));
    }
    // A source that fails in the middle does not undo the writes before it: their failure comes first.
    answers.verdict()?;
    sent.map(|_no_refused| Exit::Success)
}

/// Sends until the source ends, or the stream does: then the write that it did not take is returned.
async fn send_all(
    store: &Store,
    source: &mut Source,
    mut pace: Pace,
    announce: mpsc::Sender<Pending>,
) -> Result<Option<CallError>, Failure> {
    let writer = store.writer();
    let mut refused = None;
    while let Some(change) = source.next().await? {
        pace.wait().await;
        match send(&writer, change).await {
            Ok(pending) => {
                announce.send(pending).await.expect("answers are taken until all are announced")
            }
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    drop(announce);
    // Each write has an answer of its own; how the stream ended adds nothing to them.
    let _ended = writer.finish().await;
    Ok(refused)
}

async fn send(writer: &Writer, change: Change) -> Result<Pending, CallError> {
    match change.value {
        Some(value) => writer.put(change.key, value).await,
        None => writer.delete(change.key).await,
    }
}

fn print_summary(written: u64, began: Instant) -> Result<(), Failure> {
    let millis =
        u64::try_from(began.elapsed().as_millis()).expect("a run is shorter than 2^64 ms").max(1);
    let rate = written.saturating_mul(1_000) / millis;
    let (seconds, tenths) = (millis / 1_000, millis % 1_000 / 100);
    let mut out = Output::open();
    let line = format!("{written} writes acknowledged in {seconds}.{tenths} s, {rate} a second");
    out.line(&line).and_then(|()| out.flush()).map_err(Failure::Output)
}

impl LoadArgs {
    async fn open(&self) -> Result<(Source, ProgressBar), Failure> {
        match (&self.file, self.count) {
            (Some(file), _) => Ok((
                Source::Lines(Lines::open(file, Form::of(self.raw, self.json)).await?),
                answers::bar(None),
            )),
            (None, count) => {
                let mix = Mix {
                    keys: count.expect("clap demands a file or a count"),
                    overwrites: self.overwrites,
                    deletes: self.deletes,
                    value_bytes: usize::try_from(self.value_bytes).expect("usize holds 32 bits"),
                };
                let bar = answers::bar(Some(mix.writes()));
                Ok((Source::Generated(Workload::new(mix, self.seed)), bar))
            }
        }
    }
}

impl Source {
    async fn next(&mut self) -> Result<Option<Change>, Failure> {
        match self {
            Source::Generated(workload) => Ok(workload.next()),
            Source::Lines(lines) => lines.next().await,
        }
    }

    /// Tells of escapes: only whoever made the file can know whether one was meant as such.
    fn tell_of_escapes(&self) {
        match self {
            Source::Lines(lines) if lines.escaped() > 0 => eprintln!(
                "{} rows had a `\\`, which was read as the beginning of an escape such as \\n: where it is a part of \
                 the data, load with --raw",
                lines.escaped()
            ),
            Source::Lines(_) | Source::Generated(_) => {}
        }
    }
}
