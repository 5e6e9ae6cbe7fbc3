//! `outrigger dev` and `outrigger demo` as a newcomer runs them: the built binary, its prompt, its output.
//!
//! The tests have several threads: a client's connection ends by itself only while its runtime runs, and a node that
//! ends in order waits for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outrigger_client::{Client, Pending, Scan, Store};
use outrigger_tests::process::Process;

const SOON: Duration = Duration::from_secs(30);
const NODES: usize = 3;

/// A running cluster, and the URL of each node as it was printed.
struct Dev {
    process: Process,
    urls: Vec<String>,
}

impl Dev {
    /// Starts a cluster, and waits until its nodes are all READY.
    fn start(data: &Path) -> Result<Dev> {
        let data = data.to_str().context("a path of this test is text")?;
        // Where the preferred ports are taken, others are found, so tests need not agree on them.
        let mut process = Process::outrigger(&["dev", "--data", data])?;
        let mut urls = Vec::new();
        for number in 1..=NODES {
            let line = process.line_with(&[&format!("node {number}"), "http://"], SOON)?;
            urls.push(line.split_whitespace().last().context("a line has words")?.to_owned());
        }
        let mut dev = Dev { process, urls };
        dev.lines_with((1..=NODES).map(|_| " READY "))?;
        Ok(dev)
    }

    fn lines_with<'a>(&mut self, parts: impl IntoIterator<Item = &'a str>) -> Result<()> {
        parts.into_iter().try_for_each(|part| self.process.line_with(&[part], SOON).map(drop))
    }

    /// Gives the prompt an order, and waits for its answer.
    fn order(&mut self, order: &str, answer: &[&str]) -> Result<()> {
        self.process.say(order)?;
        self.process.line_with(answer, SOON).map(drop)
    }

    async fn store(&self, number: usize) -> Result<Store> {
        Ok(Client::connect(&self.urls[number - 1]).await?.store(""))
    }

    async fn rows(&self, number: usize) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let store = self.store(number).await?.with_level(outrigger_client::Level::Latest);
        let mut rows = store.scan(Scan::all()).await?;
        let mut all = BTreeMap::new();
        while let Some(row) = rows.next().await {
            let row = row?;
            all.insert(row.key.to_vec(), row.value.to_vec());
        }
        Ok(all)
    }

    fn quit(self) -> Result<()> {
        let (status, text) = self.process.end(SOON)?;
        ensure!(status.success(), "{status}:\n{text}");
        Ok(())
    }
}

#[test]
fn the_demo_compares_three_equal_copies_and_says_so() -> Result<()> {
    let demo = Process::outrigger(&["demo", "--keys", "3000"])?;
    let (status, text) = demo.end(Duration::from_secs(120))?;
    ensure!(status.success(), "{status}:\n{text}");
    let digests: Vec<&str> =
        text.lines().filter_map(|line| Some(line.split_once("digest ")?.1)).collect();
    ensure!(digests.len() == NODES && digests.iter().all(|digest| *digest == digests[0]), "{text}");
    for part in ["READY after", "records read", "All three are equal", "Next:", "outrigger dev"] {
        ensure!(text.contains(part), "{part}:\n{text}");
    }
    Ok(())
}

#[test]
fn a_demo_of_one_key_ends_too() -> Result<()> {
    let (status, text) = Process::outrigger(&["demo", "--keys", "1"])?.end(SOON)?;
    ensure!(status.success() && text.contains("All three are equal"), "{status}:\n{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_gets_everything_back_at_its_old_address() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut dev = Dev::start(dir.path())?;
    let status = dev.store(1).await?.status().await?;
    ensure!(status.warnings.is_empty(), "its log has no brokers to warn of: {status:?}");
    dev.store(1).await?.put("greeting", "hello").await?;
    dev.order("wipe 3", &["node 3", "killed and wiped"])?;
    ensure!(!dir.path().join("node-3").exists());
    dev.store(2).await?.put("greeting", "hello again").await?;
    dev.order("start 3", &["node 3", &dev.urls[2].clone()])?;
    dev.lines_with(["node 3  READY"])?;
    ensure!(
        dev.rows(3).await? == BTreeMap::from([(b"greeting".to_vec(), b"hello again".to_vec())])
    );
    dev.quit()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_its_data_over_an_orderly_end() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let dev = Dev::start(dir.path())?;
    let store = dev.store(1).await?;
    store.put("kept", "1").await?;
    store.put("deleted", "1").await?;
    store.delete("deleted").await?;
    dev.quit()?;
    let dev = Dev::start(dir.path())?;
    for number in 1..=NODES {
        ensure!(dev.rows(number).await? == BTreeMap::from([(b"kept".to_vec(), b"1".to_vec())]));
    }
    dev.quit()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_of_the_whole_cluster() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let dev = Dev::start(dir.path())?;
    let writer = dev.store(1).await?.writer();
    let mut sent: Vec<Pending> = Vec::new();
    for number in 0..20_000_u32 {
        sent.push(writer.put(number.to_be_bytes(), number.to_string()).await?);
    }
    let mut answers = sent.into_iter();
    for pending in answers.by_ref().take(5_000) {
        pending.await?;
    }
    dev.process.kill()?;
    let mut acknowledged = 5_000;
    for pending in answers {
        acknowledged += u32::from(pending.await.is_ok());
    }
    let dev = Dev::start(dir.path())?;
    for number in 1..=NODES {
        let rows = dev.rows(number).await?;
        for key in 0..acknowledged {
            let value = rows.get(key.to_be_bytes().as_slice());
            ensure!(value == Some(&key.to_string().into_bytes()), "node {number}, key {key}");
        }
    }
    dev.quit()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_at_the_prompt_is_one_clear_line_and_changes_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut dev = Dev::start(dir.path())?;
    dev.order("fly", &["`fly` is no command", "help"])?;
    dev.order("kill", &["kill which node?"])?;
    dev.order("kill 9", &["there is no node `9`: nodes are 1 to 3"])?;
    dev.order("start 1", &["node 1: it is running already"])?;
    dev.order("kill 2", &["node 2", "killed"])?;
    dev.order("kill 2", &["node 2: it is not running"])?;
    dev.order("status", &["node 2", "stopped"])?;
    dev.order("start 2", &["node 2", "started"])?;
    dev.lines_with(["node 2  READY"])?;
    dev.store(1).await?.put("k", "v").await?;
    dev.process.say("quit")?;
    dev.quit()
}

#[test]
fn one_cluster_runs_in_a_directory_and_nothing_else_is_in_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let home = dir.path().join("cluster");
    let dev = Dev::start(&home)?;
    let text = home.to_str().context("a path of this test is text")?;
    let (status, said) = Process::outrigger(&["dev", "--data", text])?.end(SOON)?;
    ensure!(
        status.code() == Some(73) && said.contains("used by another process"),
        "{status}:\n{said}"
    );
    dev.quit()?;

    let text = dir.path().to_str().context("a path of this test is text")?;
    let (status, said) = Process::outrigger(&["dev", "--data", text])?.end(SOON)?;
    ensure!(status.code() == Some(73) && said.contains("is no dev cluster"), "{status}:\n{said}");
    Ok(())
}
