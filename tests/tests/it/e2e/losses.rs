//! The log or the disk lost something: what is left is followed, what only the old copy holds is kept.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::{Cluster, Topic, TopicSpec};
use outrigger_tests::load::rows;
use outrigger_tests::node::{Node, STORE};
use tempfile::TempDir;

use super::{MINUTE, Place, durable, run};

const P0: Partition = Partition(0);

struct Lossy {
    cluster: Cluster,
    topic: Topic,
    node: Node,
    _dir: TempDir,
}

impl Lossy {
    /// One broker, and a READY node with ten rows on disk.
    async fn start(name: &str) -> Result<Lossy> {
        let cluster = Cluster::start(1, &[])?;
        let topic = cluster.topic(name, TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?;
        for number in 0..10 {
            store.put(format!("old {number}"), "1").await?;
        }
        node.until("on disk", MINUTE, |status| durable(status) >= 10).await?;
        Ok(Lossy { cluster, topic, node, _dir: dir })
    }

    /// The broker comes back without the partition's data.
    fn lose_everything(&mut self) -> Result<()> {
        self.cluster.kill_all()?;
        self.cluster.wipe_partition(1, self.topic.name(), P0)?;
        self.cluster.start_all()
    }

    async fn rebuilt_beside_the_old_copy(&self, because: &str) -> Result<()> {
        let generation = |status: &outrigger_client::StoreStatus| status.live_generation >= Some(2);
        self.node.until("a rebuild", MINUTE * 2, generation).await?;
        self.node.until_ready().await?;
        ensure!(kept(&self.node), "the old copy is kept");
        ensure!(self.node.log().contains(because), "{because:?} is logged:\n{}", self.node.log());
        Ok(())
    }
}

fn kept(node: &Node) -> bool {
    node.data().join(STORE).join("quarantined-g1").is_dir()
}

#[test]
fn a_log_that_lost_its_records_is_followed_and_the_old_copy_is_kept() -> Result<()> {
    run(async {
        let mut lossy = Lossy::start("lost").await?;
        lossy.lose_everything()?;
        lossy.rebuilt_beside_the_old_copy("the log lost records").await?;
        lossy.node.store().await?.put("new", "2").await?;
        let rows = rows(&lossy.node).await?;
        ensure!(rows.len() == 1 && rows.contains_key(&b"new"[..]), "only what the log has");

        let listed = String::from_utf8(lossy.node.on_disk("drop-quarantine", &[])?.stdout)?;
        ensure!(listed.starts_with("g1  ") && listed.contains("the log ends at"), "{listed}");
        let reset = lossy.node.on_disk("reset", &["--yes"])?;
        ensure!(reset.status.code() == Some(64) && kept(&lossy.node), "{reset:?}");
        let unknown = lossy.node.on_disk("drop-quarantine", &["g2"])?;
        ensure!(unknown.status.code() == Some(64) && kept(&lossy.node), "{unknown:?}");
        let dropped = lossy.node.on_disk("drop-quarantine", &["g1"])?;
        ensure!(dropped.status.success() && !kept(&lossy.node), "{dropped:?}");
        ensure!(lossy.node.store().await?.get("new").await?.is_some(), "the node goes on");
        Ok(())
    })
}

#[test]
fn a_log_that_lost_its_records_and_grew_again_is_another_history() -> Result<()> {
    run(async {
        let mut lossy = Lossy::start("regrown").await?;
        lossy.node.kill()?;
        lossy.lose_everything()?;
        for number in 0..20 {
            lossy.topic.put(P0, format!("new {number}").as_bytes(), Some(b"2"))?;
        }
        lossy.node.start().await?;
        lossy.rebuilt_beside_the_old_copy("another history").await?;
        let rows = rows(&lossy.node).await?;
        ensure!(rows.len() == 20, "{} rows, not the 20 of the new history", rows.len());
        ensure!(rows.keys().all(|key| key.starts_with(b"new")), "nothing of the old history");
        Ok(())
    })
}

#[test]
fn a_damaged_copy_is_set_aside_and_rebuilt_not_crashed_on() -> Result<()> {
    run(async {
        let place = Place::new("damaged", TopicSpec::store())?;
        let mut node = place.ready_node("one").await?;
        let last = node.store().await?.put("key", "value").await?;
        node.until("on disk", MINUTE, |status| durable(status) > last.offset).await?;
        node.kill()?;
        let manifest = manifest(&node)?;
        fs::write(&manifest, b"not a manifest")?;
        node.start().await?;
        node.until_ready().await?;
        ensure!(kept(&node), "the damaged generation is kept for an operator");
        ensure!(node.store().await?.get("key").await?.is_some());
        Ok(())
    })
}

fn manifest(node: &Node) -> Result<PathBuf> {
    let files = fs::read_dir(node.data().join(STORE).join("g1"))?;
    let paths: Vec<PathBuf> = files.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    let is_manifest = |path: &&PathBuf| path.to_string_lossy().contains("MANIFEST");
    paths.iter().find(is_manifest).cloned().context("RocksDB has a manifest")
}
