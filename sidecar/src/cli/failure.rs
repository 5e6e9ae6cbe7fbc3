//! Why a command failed: what is told, and the exit code. The only place that maps one to the other.

use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::io;
use std::process::ExitStatus;

use outrigger_client::{Error as CallError, ErrorKind, Reason};
use outrigger_core::store::StoreError;

use super::verify::VerifyError;
use super::wait::WaitError;
use super::watch::exec;
use crate::config::ConfigError;
use crate::demo::DemoError;
use crate::dev::DevError;
use crate::exit::Exit;
use crate::kafka::KafkaStartError;
use crate::plan::PlanError;
use crate::reseed::ReseedError;
use crate::rocks::DataDirError;
use crate::serve::ServeError;
use crate::survey;
use crate::telemetry::{LogError, MetricsError};

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}", full(.0))]
    Read(CallError),
    #[error("{}\n  {}", full(.0), outcome(.0))]
    Write(CallError),
    /// The failure of many writes at once; each kind was told where it happened.
    #[error("{0}")]
    Send(SendFailure),
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    #[error("cannot read {what}: {error}")]
    Input { what: String, error: io::Error },
    #[error("{0}")]
    BadInput(String),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Reseed(#[from] ReseedError),
    /// The failure of a command without a node.
    #[error(transparent)]
    Kafka(#[from] KafkaStartError),
    #[error(transparent)]
    Data(#[from] DataDirError),
    #[error(transparent)]
    Disk(#[from] StoreError),
    #[error(transparent)]
    Dev(#[from] DevError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Nothing is wrong with the request, and it cannot be served yet.
    #[error("{0}")]
    NotYet(String),
    #[error("cannot start: {0}")]
    Start(io::Error),
    #[error("the command of --exec has ended: {0}")]
    Command(ExitStatus),
}

/// Of many writes, those that were not acknowledged.
#[derive(Debug)]
pub struct SendFailure {
    pub not_written: u64,
    pub unknown: u64,
    pub first: CallError,
}

impl Failure {
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            Failure::Config(_) => Exit::Config,
            Failure::Read(error) | Failure::Write(error) => exit_of_call(error),
            Failure::Send(SendFailure { unknown: 0, first, .. }) => exit_of_call(first),
            Failure::Send(_) => Exit::Unknown,
            // Whoever reads the output has seen enough, as `head` does.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            Failure::Output(_) | Failure::Input { .. } => Exit::InputOutput,
            Failure::BadInput(_) => Exit::Refused,
            Failure::Log(_) | Failure::Metrics(MetricsError::Install { .. }) => Exit::Internal,
            Failure::Metrics(MetricsError::Listen { .. }) => Exit::Unavailable,
            Failure::Serve(error) => error.exit(),
            Failure::Plan(error) => error.exit(),
            Failure::Reseed(error) => error.exit(),
            Failure::Kafka(error) => survey::exit_of_start(error),
            Failure::Data(_) => Exit::DataDirectory,
            Failure::Disk(_) => Exit::InputOutput,
            Failure::Dev(error) => error.exit(),
            Failure::Demo(error) => error.exit(),
            Failure::Verify(error) => error.exit(),
            Failure::Wait(error) => error.exit(),
            Failure::NotYet(_) | Failure::Start(_) => Exit::TryAgain,
            Failure::Command(status) => exec::exit_of(*status),
        }
    }

    /// Tells people, on standard error, with every cause that the message does not have itself.
    pub fn report(&self) {
        if self.exit() == Exit::Success {
            return;
        }
        eprintln!("outrigger: {self}");
        for cause in std::iter::successors(self.source(), |&error| error.source()) {
            eprintln!("  because: {cause}");
        }
    }
}

impl fmt::Display for SendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SendFailure { not_written, unknown, first } = self;
        write!(
            f,
            "{not_written} writes did not happen, {unknown} may have happened; the first failure was:\n  "
        )?;
        write!(f, "{}", full(first))
    }
}

pub(super) fn exit_of_call(error: &CallError) -> Exit {
    if error.may_have_happened() {
        return Exit::Unknown;
    }
    match (error.reason(), error.kind()) {
        (Some(Reason::Authorisation | Reason::Unauthenticated | Reason::NotAllowed), _) => {
            Exit::Forbidden
        }
        (Some(Reason::StoreFailed), _) => Exit::InputOutput,
        (_, ErrorKind::Compacted) => Exit::Negative,
        (_, ErrorKind::Address) => Exit::Usage,
        (_, ErrorKind::Unreachable | ErrorKind::Broken) => Exit::Unavailable,
        (_, ErrorKind::Invalid | ErrorKind::SessionLost | ErrorKind::Refused) => Exit::Refused,
        (
            _,
            ErrorKind::Unavailable
            | ErrorKind::Overloaded
            | ErrorKind::Deadline
            | ErrorKind::NotWritten,
        ) => Exit::TryAgain,
        (_, ErrorKind::Unknown) => Exit::Unknown,
        // The client's list may grow; what it grows by is some way of not being served.
        (_, _) => Exit::Unavailable,
    }
}

/// Returns the message with what to do, and the names that can be looked up.
pub(super) fn full(error: &CallError) -> String {
    let mut text = error.to_string();
    if let Some(reason) = error.reason() {
        write!(text, "\n  reason: {}", reason.as_str_name()).expect("a String takes every text");
    }
    if let Some(kafka_error) = error.kafka_error() {
        write!(text, "\n  Kafka's error: {kafka_error}").expect("a String takes every text");
    }
    if let Some(hint) = hint(error) {
        write!(text, "\n  {hint}").expect("a String takes every text");
    }
    text
}

fn hint(error: &CallError) -> Option<&'static str> {
    match (error.kind(), error.reason()) {
        (ErrorKind::Unreachable, _) => Some(
            "is a node running there? give its address with --server, or start one: `outrigger serve`",
        ),
        // A node gives its reason: this one talks another protocol, or has just ended.
        (ErrorKind::Broken, None) => Some(
            "has the node just ended, or is this another server's port, such as Kafka's? give the address that the \
             node listens on (`listen`, port 7400 by default) with --server",
        ),
        (_, _) => None,
    }
}

fn outcome(error: &CallError) -> &'static str {
    if error.may_have_happened() {
        "the write may have happened: read before writing again"
    } else {
        "the write did not happen"
    }
}
