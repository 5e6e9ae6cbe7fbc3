//! `outrigger demo`: three nodes, one of which loses everything in the middle of many writes and gets it back.
//!
//! Nothing is staged: the nodes are those of `outrigger dev`, the writes go through gRPC and
//! `outrigger-client`, the killed node's files are removed, and what is compared at the end are three whole
//! copies with each other and with what was acknowledged. It succeeds only when all are equal.

mod compare;
mod reference;
mod report;
mod restore;
mod writes;

use std::io;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount};
use outrigger_client::{Client, Error as CallError, Store};
use outrigger_core::node::Status;
use outrigger_model::log::CleanerPace;

use self::reference::Reference;
use self::report::Report;
use self::writes::Writes;
use crate::dev::cluster::{Cluster, ClusterConfig, ClusterError, NodeNumber};
use crate::dev::topic_policy;
use crate::embedded::EmbeddedConfig;
use crate::exit::Exit;
use crate::scratch::{Scratch, ScratchError};
use crate::serve::Signals;
use crate::workload::Mix;

pub use self::compare::Difference;

#[derive(Clone, Copy, Debug)]
pub struct DemoConfig {
    /// Distinct keys to write; overwrites and deletes come on top.
    pub keys: u64,
    /// Whether the files are left where they are.
    pub keep: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error("the system gives no signals")]
    Signals(#[source] io::Error),
    #[error("the demo's nodes cannot run")]
    Cluster(#[from] ClusterError),
    #[error("node {node} failed a call: {error}")]
    Call { node: NodeNumber, error: CallError },
    #[error("node {node} is not READY within {} s; it says: {state}", within.as_secs())]
    NotReady { node: NodeNumber, within: Duration, state: String },
    #[error("the copies differ: {0}\n  this is a defect of Outrigger, please report it")]
    Differ(#[from] Difference),
    #[error("interrupted")]
    Interrupted,
}

const NODES: u16 = 3;
/// The pace is quick, so that there is something to see: the log is compacted while the demo runs.
const CLEANER: CleanerPace =
    CleanerPace { every: Duration::from_millis(500), dirty_percent_min: 30 };
const MIN_COMPACTION_LAG_MS: u64 = 200;
const VALUE_BYTES: usize = 100;

pub async fn run(config: DemoConfig) -> Result<Exit, DemoError> {
    let mut signals = Signals::new().map_err(DemoError::Signals)?;
    let mut scratch = Scratch::make("demo")?;
    let outcome = tokio::select! {
        biased;
        _name = signals.next() => Err(DemoError::Interrupted),
        outcome = perform(config, &scratch) => outcome,
    };
    // Copies that differ are evidence.
    if config.keep || matches!(outcome, Err(DemoError::Differ(_))) {
        eprintln!("the files are kept in {}", scratch.keep().display());
    }
    outcome.map(|()| Exit::Success)
}

impl DemoError {
    pub fn exit(&self) -> Exit {
        match self {
            DemoError::Scratch(_) => Exit::InputOutput,
            DemoError::Cluster(error) => error.exit(),
            DemoError::Call { .. } | DemoError::NotReady { .. } => Exit::Internal,
            DemoError::Differ(_) => Exit::Negative,
            DemoError::Signals(_) | DemoError::Interrupted => Exit::TryAgain,
        }
    }
}

async fn perform(config: DemoConfig, scratch: &Scratch) -> Result<(), DemoError> {
    let report = Report::new();
    let (mix, began) = (mix(config.keys), Instant::now());
    report.title("Three nodes share a log. One of them loses everything and gets it back.");
    let mut show = Show { cluster: start(scratch, &report).await?, report };
    let writes = show.write_half(mix).await?;
    let writes = show.lose_a_node(mix, writes).await?;
    let writes = show.bring_it_back(mix, writes).await?;
    let reference = writes.finish(&show.report).await?;
    show.compare(&reference).await?;
    show.cluster.drain().await;
    show.report.end(began.elapsed());
    Ok(())
}

fn mix(keys: u64) -> Mix {
    Mix { keys, overwrites: keys / 2, deletes: keys / 10, value_bytes: VALUE_BYTES }
}

async fn start(scratch: &Scratch, report: &Report) -> Result<Cluster, DemoError> {
    let policy = topic_policy(MIN_COMPACTION_LAG_MS);
    let log = EmbeddedConfig { cleaner: CLEANER, ..EmbeddedConfig::new(1, policy) };
    let config = ClusterConfig { nodes: NODES, store: "demo", log, port: None };
    let cluster = Cluster::start(scratch.path(), config).await?;
    report.step(
        "Start",
        "an embedded log stands in for Kafka; each node has a disk and a port of its own",
    );
    for number in cluster.numbers() {
        report.line(&format!("node {number}  {}", cluster.node(number).url()));
    }
    Ok(cluster)
}

struct Show {
    cluster: Cluster,
    report: Report,
}

impl Show {
    /// Returns the node that will be lost. The others take the writes.
    fn victim(&self) -> NodeNumber {
        self.cluster.numbers().last().expect("there are several nodes")
    }

    async fn store(&self, node: NodeNumber) -> Result<Store, DemoError> {
        let client = Client::connect(&self.cluster.node(node).url()).await;
        let client = client.map_err(|error| DemoError::Call { node, error })?;
        // A digest and a scan of everything may take longer than a read of one key.
        Ok(client.store("").with_read_deadline(Duration::from_secs(60)))
    }

    /// Sends half of the writes; when it returns, more writes are on their way.
    async fn write_half(&self, mix: Mix) -> Result<Writes, DemoError> {
        let Mix { keys, overwrites, deletes, .. } = mix;
        let what = format!(
            "over gRPC, through nodes 1 and 2: {} keys, {} overwrites, {} deletes",
            HumanCount(keys),
            HumanCount(overwrites),
            HumanCount(deletes)
        );
        self.report.step("Write", &what);
        let mut stores = Vec::new();
        for node in self.cluster.numbers() {
            restore::until_ready(node, self.cluster.node(node)).await?;
            if node != self.victim() {
                stores.push((node, self.store(node).await?));
            }
        }
        let mut writes = Writes::start(stores, mix);
        let began = Instant::now();
        writes.allow(mix.writes() * 6 / 10);
        writes.reached(mix.writes() / 2, &self.report).await?;
        let (acknowledged, took) = (writes.acknowledged(), began.elapsed());
        self.report.line(&format!(
            "{} acknowledged in {}, {} a second; they go on",
            HumanCount(acknowledged),
            report::seconds(took),
            report::rate(acknowledged, took),
        ));
        Ok(writes)
    }

    async fn lose_a_node(&mut self, mix: Mix, mut writes: Writes) -> Result<Writes, DemoError> {
        let victim = self.victim();
        self.report
            .step("Kill", &format!("node {victim}, as kill -9 would, and remove all of its files"));
        self.cluster.kill(victim).await?;
        self.cluster.wipe(victim)?;
        let before = writes.acknowledged();
        writes.allow(mix.writes() * 3 / 4);
        writes.reached(mix.writes() * 3 / 4, &self.report).await?;
        let missed = HumanCount(writes.acknowledged() - before);
        self.report.line(&format!("{missed} more writes were acknowledged meanwhile"));
        Ok(writes)
    }

    async fn bring_it_back(&mut self, mix: Mix, writes: Writes) -> Result<Writes, DemoError> {
        let victim = self.victim();
        self.report
            .step("Restore", &format!("node {victim} from the log, while the rest is written"));
        let (before, began) = (writes.acknowledged(), Instant::now());
        writes.allow(mix.writes());
        self.cluster.start_node(victim).await?;
        let store = self.store(victim).await?;
        let status = tokio::select! {
            status = restore::until_ready(victim, self.cluster.node(victim)) => status?,
            failed = restore::show(victim, &store, &self.report) => return Err(failed),
        };
        let (took, meanwhile) = (began.elapsed(), writes.acknowledged() - before);
        self.tell_restore(&status, took);
        if meanwhile > 0 {
            let meanwhile = HumanCount(meanwhile);
            self.report.line(&format!("{meanwhile} more writes were acknowledged meanwhile"));
        }
        Ok(writes)
    }

    fn tell_restore(&self, status: &Status, took: Duration) {
        let progress = status.progress.as_ref().expect("a READY node has read the log");
        let (records, position) = (progress.records, restore::position(status));
        self.report.line(&format!(
            "READY after {}: {} records read ({}), {} a second",
            report::seconds(took),
            HumanCount(records),
            HumanBytes(progress.bytes),
            report::rate(records, took),
        ));
        if records < position {
            self.report.line(&format!(
                "the log is compacted: of {} records, {} were still in it",
                HumanCount(position),
                HumanCount(records)
            ));
        }
    }

    async fn compare(&self, reference: &Reference) -> Result<(), DemoError> {
        let end = reference.end();
        let writes = HumanCount(reference.writes());
        let what = format!("all copies, with each other and with all {writes} acknowledged writes");
        self.report.step("Compare", &what);
        let mut digests = Vec::new();
        for node in self.cluster.numbers() {
            let store = self.store(node).await?;
            restore::until_position(node, self.cluster.node(node), end).await?;
            let digest = compare::digest(node, &store).await?;
            let (position, rows) = (HumanCount(digest.position), HumanCount(digest.rows));
            self.report.line(&format!(
                "node {node}  position {position}  {rows} rows  digest {}",
                digest.hex()
            ));
            digests.push((node, digest));
        }
        compare::all_equal(&digests)?;
        for node in self.cluster.numbers() {
            compare::with_reference(node, &self.store(node).await?, reference).await?;
        }
        let (rows, deleted) = (HumanCount(reference.rows()), HumanCount(reference.deleted()));
        self.report.line(&format!(
            "each holds exactly the {rows} rows acknowledged last, none of the {deleted} deleted keys"
        ));
        Ok(())
    }
}
