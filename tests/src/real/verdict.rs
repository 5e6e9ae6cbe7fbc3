//! After everything is healed: who must be back, what must be equal, and what the history oracles say.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use outrigger_client::StoreStatus;
use outrigger_client::proto::v1::Phase;
use outrigger_core::offset::{Offset, Partition};
use outrigger_sim::history::{Evidence, History, Licence, Row, Rows, Told};
use tokio::task::block_in_place;

use super::book::Book;
use super::nodes::Nodes;
use super::others::Others;
use crate::kafka::{Isolation, Topic};
use crate::writers;

/// Recovery of brokers, a rebuild, a horizon: everything that healing may take.
const BACK_MAX: Duration = Duration::from_secs(90);

/// After this time the end is asked for again: it may have moved.
const TRY_MAX: Duration = Duration::from_secs(3);

/// Returns how many records the cleaner has removed, or an error with everything that is wrong.
pub(super) async fn judge(nodes: &Nodes, others: &Others, book: &Book) -> Result<usize> {
    let topic = &others.topic;
    let mut contents = contents(nodes, topic).await?;
    let folded = block_in_place(|| writers::fold(topic)).context("reading the log")?;
    let mut wrong = Vec::new();
    for (number, rows) in contents.iter().enumerate().filter(|(_, rows)| **rows != folded) {
        wrong.push(format!("node {number} and the log: {}", difference(rows, &folded)));
    }
    wrong.extend(digests(nodes).await?);
    // Equal copies make one finding, not several.
    contents.dedup();
    let (history, _) = book.close();
    let licence =
        Licence { losses: Vec::new(), stale_leaders: book.stale_leaders(topic.partitions()) };
    let evidence = Evidence { contents, log: None, licence };
    wrong.extend(history.judge(&evidence).iter().map(ToString::to_string));
    ensure!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), wrong.join("\n"));
    block_in_place(|| cleaned(topic, &history)).context("counting what was cleaned")
}

/// What each node serves at the end of the log: when that is asked for again, it is still the end.
async fn contents(nodes: &Nodes, topic: &Topic) -> Result<Vec<Rows>> {
    let deadline = Instant::now() + BACK_MAX;
    loop {
        let end = block_in_place(|| ends(topic))?;
        let contents = contents_at(nodes, &end).await;
        match contents {
            Ok(contents) if block_in_place(|| decided(topic, &end))? => return Ok(contents),
            // A write of unknown outcome landed, or a decision's marker did.
            Ok(_) | Err(_) if Instant::now() < deadline => {}
            Ok(_) => bail!("the log still grows {BACK_MAX:?} after the last write"),
            Err(error) => return Err(error.context(format!("{BACK_MAX:?} after healing"))),
        }
    }
}

async fn contents_at(nodes: &Nodes, end: &[Offset]) -> Result<Vec<Rows>> {
    let mut contents = Vec::new();
    for number in 0..nodes.count() {
        let node = nodes.lock(number).await;
        let there = node.until("READY at the log's end", TRY_MAX, |status| at(status, end)).await;
        there.with_context(|| format!("node {number}, end {end:?}"))?;
        let rows = writers::rows(&node).await;
        contents.push(rows.with_context(|| format!("contents of node {number}"))?);
    }
    Ok(contents)
}

fn at(status: &StoreStatus, end: &[Offset]) -> bool {
    let positions = status.partitions.iter().map(|partition| partition.position);
    status.phase() == Phase::Ready && positions.eq(end.iter().map(|end| end.0))
}

/// Nothing was appended after `end`, and no transaction is open below it.
fn decided(topic: &Topic, end: &[Offset]) -> Result<bool> {
    let all: Vec<Offset> = Partition::all(topic.partitions())
        .map(|partition| Ok(topic.ends(partition)?.1))
        .collect::<Result<_>>()?;
    Ok(all == end && ends(topic)? == end)
}

fn ends(topic: &Topic) -> Result<Vec<Offset>> {
    Partition::all(topic.partitions()).map(|partition| topic.last_stable(partition)).collect()
}

fn difference(rows: &Rows, folded: &Rows) -> String {
    let keys: BTreeSet<&Vec<u8>> = rows.keys().chain(folded.keys()).collect();
    let differ = keys.into_iter().filter(|key| rows.get(*key) != folded.get(*key));
    let lines = differ.map(|key| {
        let (here, there) = (show(rows.get(key)), show(folded.get(key)));
        format!("\n  {}: the node has {here}, the log says {there}", String::from_utf8_lossy(key))
    });
    lines.collect()
}

fn show(row: Option<&Row>) -> String {
    match row {
        Some(Row { offset, value }) => format!("{} at {offset}", String::from_utf8_lossy(value)),
        None => "nothing".to_owned(),
    }
}

async fn digests(nodes: &Nodes) -> Result<Option<String>> {
    let mut digests = Vec::new();
    for number in 0..nodes.count() {
        let status = nodes.lock(number).await.store().await?.status_with_digest().await?;
        digests.push(status.digest.context("a READY node has a digest")?);
    }
    let equal = digests.windows(2).all(|pair| pair[0] == pair[1]);
    Ok((!equal).then(|| format!("the digests differ: {digests:?}")))
}

/// Acknowledged records that the log does not have any more, although nothing was lost.
fn cleaned(topic: &Topic, history: &History) -> Result<usize> {
    let mut there = BTreeSet::new();
    for partition in Partition::all(topic.partitions()) {
        let records = topic.read(partition, Offset::ZERO, Isolation::Uncommitted)?;
        there.extend(records.into_iter().map(|record| (partition.0, record.offset.0)));
    }
    let gone = history.operations().iter().filter(|operation| match operation.told {
        Told::Appended { partition, offset } => !there.contains(&(partition, offset)),
        Told::Unknown
        | Told::DidNotHappen
        | Told::Aborted
        | Told::Row { .. }
        | Told::Rows { .. } => false,
    });
    Ok(gone.count())
}
