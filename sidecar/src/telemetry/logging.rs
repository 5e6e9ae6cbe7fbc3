//! Logs to standard error, for standard output belongs to what a command answers.
//!
//! Whoever reads there may be slow, stopped or gone, and none of that may hold up a thread of the node: lines are
//! written by a thread of their own, and dropped and counted when it is behind by [`LINES_MAX`].

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::named::Named;

/// Lines that wait to be written: seconds of the busiest log, and a few MiB at most.
const LINES_MAX: usize = 8_192;

/// How long an end waits for the last lines to be written.
const LAST_WORDS_MAX: Duration = Duration::from_millis(1_500);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`, known to parse.
    pub filter: String,
    /// The node whose lines these are; none: the only one that could be meant.
    pub node: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The formats' names in the file; the flag's names are the same.
    pub(crate) const NAMES: [(&'static str, LogFormat); 2] =
        [("text", LogFormat::Text), ("json", LogFormat::Json)];
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log filter does not parse")]
    Filter(#[from] ParseError),
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
    #[error("standard error cannot be used for the log")]
    StandardError(#[source] io::Error),
}

/// The log of this process; its last lines are written when this is dropped.
#[derive(Debug)]
#[must_use = "the last lines are written when this is dropped"]
pub struct Logging(());

/// The thread that writes, kept here for whoever ends the process.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// How many lines found no room.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// How many lines could not be written: nobody reads any more, or the disk is full.
static UNWRITTEN: AtomicU64 = AtomicU64::new(0);

/// Sends events, panics included, to standard error.
pub fn start_logging(config: &LogConfig) -> Result<Logging, LogError> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer()?);
    let LogConfig { format, node, .. } = config;
    match format {
        LogFormat::Text => lines
            .with_ansi(io::stderr().is_terminal())
            .map_event_format(|lines| Named::text(node.clone(), lines))
            .finish()
            .try_init()?,
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .map_event_format(|lines| Named::json(node.clone(), lines))
            .finish()
            .try_init()?,
    }
    log_panics();
    Ok(Logging(()))
}

/// Returns how many lines of the log nobody can read.
pub fn lines_dropped() -> u64 {
    let dropped = DROPPED.get().map_or(0, ErrorCounter::dropped_lines);
    u64::try_from(dropped).expect("a count fits 64 bits") + UNWRITTEN.load(Ordering::Relaxed)
}

/// Writes the last lines of a process that ends by abort, and `text`, if that is possible soon.
pub(crate) fn last_words(text: String) {
    end();
    soon("last-words", move || {
        // Perhaps nobody reads it, and the process ends all the same.
        writeln!(io::stderr(), "{text}").unwrap_or_default();
    });
}

fn writer() -> Result<NonBlocking, LogError> {
    // The descriptor is its own: a writer that hangs would keep the lock of the standard library's from whoever ends
    // the process.
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(LogError::StandardError)?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("log")
        .finish(StandardError(File::from(stderr)));
    DROPPED.get_or_init(|| writer.error_counter());
    *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    Ok(writer)
}

/// Sends panics to the log. The default would write by itself, and wait for whoever reads.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(%panic, %backtrace, "a defect of outrigger: a thread panicked");
    }));
}

fn end() {
    let guard = WRITER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(guard) = guard {
        // The guard waits a second at most, but then may tell on standard output, which may hang as well.
        soon("log-end", move || drop(guard));
    }
}

/// Does a job, and gives up waiting for it when it hangs.
fn soon(name: &str, job: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let job = move || {
        job();
        // Whoever waited may have given up.
        done.send(()).unwrap_or_default();
    };
    if thread::Builder::new().name(name.to_owned()).spawn(job).is_ok() {
        // Either way the process goes on to its end.
        ended.recv_timeout(LAST_WORDS_MAX).unwrap_or_default();
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        end();
    }
}

struct StandardError(File);

impl Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.write_all(line).is_err() {
            UNWRITTEN.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
