//! `verify`: whether the copies of several nodes are the same at one position, while writes go on.
//!
//! Every node keeps its copy as it is at that position and sums it in buckets; only where buckets differ are keys
//! looked at.

mod differ;
mod from_log;
mod pin;

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::HumanCount;
use outrigger_client::proto::v1;
use outrigger_client::{Client, InvalidToken, Pinned, Revision, Token};
use outrigger_core::digest::BUCKETS;

use self::differ::Keys;
use super::connect::Connect;
use super::failure::{Failure, exit_of_call, full};
use super::output::Output;
use crate::config::{ServeArgs, parse_duration};
use crate::escape::escape;
use crate::exit::Exit;
use crate::scratch::ScratchError;

const INFALLIBLE: &str = "a String takes every text";

/// Keys that are named at most: more names help nobody.
const KEYS_NAMED_MAX: usize = 20;

/// Compares the copies of several nodes at one position while writes go on, and names the keys that differ. With
/// --from-log it takes the settings of `serve` for Kafka
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// A node, as http://HOST:PORT, https://HOST:PORT or unix:///PATH; repeat it for each that is to be compared
    #[arg(long = "server", value_name = "URL", required = true)]
    servers: Vec<String>,

    #[command(flatten)]
    connect: Connect,

    /// How long to look for a position at which all nodes can be compared
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,

    /// Compare with what the log says: first restores a copy from it, into a directory for temporary files
    #[arg(long)]
    from_log: bool,

    #[command(flatten)]
    serve: ServeArgs,
}

/// One of the copies that are compared.
#[derive(Clone)]
struct Copy {
    /// The node's name as it was given.
    name: String,
    client: Client,
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error("interrupted")]
    Interrupted,
    #[error("{node} is {phase}: only READY copies are compared\n  {what_to_do}")]
    NotReady { node: String, phase: String, what_to_do: String },
    #[error("{node} and {first} have different topics: their copies have nothing in common")]
    OtherTopic { node: String, first: String },
    #[error(
        "what the nodes say of their positions is not understood ({0}): give them this version"
    )]
    Positions(#[from] InvalidToken),
    #[error("{node} sums its copy in {buckets} buckets, not in {BUCKETS}: give it this version")]
    Buckets { node: String, buckets: usize },
    #[error("{node}: {}", full(.error))]
    Node { node: String, error: outrigger_client::Error },
    #[error(
        "no position was found within {within:?} at which all copies can be compared\n  {node}: {}", full(.error)
    )]
    NoPosition { within: Duration, node: String, error: outrigger_client::Error },
}

impl VerifyError {
    pub fn exit(&self) -> Exit {
        match self {
            VerifyError::Scratch(_) => Exit::InputOutput,
            VerifyError::Interrupted => Exit::TryAgain,
            VerifyError::NotReady { .. } | VerifyError::NoPosition { .. } => Exit::TryAgain,
            VerifyError::OtherTopic { .. } => Exit::Refused,
            VerifyError::Positions(_) | VerifyError::Buckets { .. } => Exit::Unavailable,
            VerifyError::Node { error, .. } => exit_of_call(error),
        }
    }
}

pub(super) async fn run(args: VerifyArgs) -> Result<Exit, Failure> {
    let VerifyArgs { servers, connect, timeout, from_log, serve } = args;
    if servers.len() + usize::from(from_log) < 2 {
        let message = "give at least two nodes, each with --server, or one and --from-log";
        return Err(Failure::Usage(message.to_owned()));
    }
    servers.iter().try_for_each(|server| connect.check(server))?;
    let mut copies = Vec::new();
    for server in &servers {
        let client = connect.client(server).await.map_err(|error| node_failed(server, error))?;
        copies.push(Copy { name: server.clone(), client });
    }
    let store = serve.store().to_owned();
    if from_log {
        from_log::compare_with(copies, serve, timeout).await
    } else {
        compare(&copies, &store, timeout).await
    }
}

async fn compare(copies: &[Copy], store: &str, within: Duration) -> Result<Exit, Failure> {
    let (at, mut pinned) = pin::all(copies, store, within).await?;
    let different = differ::buckets(&pinned);
    let mut text = told(copies, &pinned, &at);
    if !different.is_empty() {
        let keys = differ::keys(&mut pinned, &different).await;
        let keys = keys.map_err(|(copy, error)| node_failed(&copies[copy].name, error))?;
        text.push_str(&named(copies, &keys));
    }
    Output::open().whole(&text).map_err(Failure::Output)?;
    Ok(if different.is_empty() { Exit::Success } else { Exit::Negative })
}

fn node_failed(node: &str, error: outrigger_client::Error) -> VerifyError {
    VerifyError::Node { node: node.to_owned(), error }
}

/// Returns the position, and how each copy compares with the first.
fn told(copies: &[Copy], pinned: &[Pinned], at: &Token) -> String {
    let at = v1::Token::from(at);
    let positions = at.positions.iter().map(|at| format!("{}:{}", at.partition, at.position));
    let mut text = format!("at {}\n", positions.collect::<Vec<_>>().join(" "));
    let first = &pinned[0];
    for (copy, pinned) in copies.iter().zip(pinned) {
        let rows =
            HumanCount(pinned.buckets().iter().map(|sum| sum.rows).fold(0, u64::saturating_add));
        let verdict = match differ::unlike(first.buckets(), pinned.buckets()).count() {
            0 => "equal".to_owned(),
            buckets => format!("DIFFERS from {} in {buckets} of 4,096 buckets", copies[0].name),
        };
        writeln!(text, "  {}  {rows} rows  {verdict}", copy.name).expect(INFALLIBLE);
    }
    text
}

/// Returns the keys that differ, each with what every copy has of it.
fn named(copies: &[Copy], keys: &Keys) -> String {
    let mut text = String::new();
    for (key, held) in keys.differences.iter().take(KEYS_NAMED_MAX) {
        writeln!(text, "key {}", escape(key)).expect(INFALLIBLE);
        let first = held[0].as_ref();
        for (copy, held) in copies.iter().zip(held) {
            let what = match held {
                None => "absent".to_owned(),
                Some(held) => {
                    let Revision { partition, offset } = held.revision;
                    let contradicts = first.is_some_and(|first| first.contradicts(held));
                    let value = if contradicts { ", with another value" } else { "" };
                    format!("{partition}:{offset}{value}")
                }
            };
            writeln!(text, "  {}  {what}", copy.name).expect(INFALLIBLE);
        }
    }
    let more = keys.differences.len().saturating_sub(KEYS_NAMED_MAX);
    if more > 0 {
        writeln!(text, "and {} more keys", HumanCount(count(more))).expect(INFALLIBLE);
    }
    if keys.buckets_left > 0 {
        let left = HumanCount(count(keys.buckets_left));
        writeln!(text, "and the keys of {left} more buckets").expect(INFALLIBLE);
    }
    text
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("usize fits 64 bits")
}
