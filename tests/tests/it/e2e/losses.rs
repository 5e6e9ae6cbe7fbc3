//! The log or the disk lost something: what is left is followed, what only the old copy holds is kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use outrigger_core::offset::{Offset, Partition};
use outrigger_tests::kafka::{Cluster, Topic, TopicSpec};
use outrigger_tests::node::{Node, STORE};
use outrigger_tests::writers::rows;
use serde_json::{Value, json};
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
        let generation = |status: &outrigger_client::StoreStatus| status.fed_generation >= Some(2);
        self.node.until("a rebuild", MINUTE * 2, generation).await?;
        self.node.until_ready().await?;
        ensure!(kept(&self.node), "the old copy is kept");
        ensure!(self.node.log().contains(because), "{because:?} is logged:\n{}", self.node.log());
        Ok(())
    }
}

/// What the log lost of g1, once the file is there: each key with what the line says of it.
async fn lost(node: &Node) -> Result<BTreeMap<String, Value>> {
    let path = node.data().join(STORE).join("lost-g1.jsonl");
    let written = |_: &outrigger_client::StoreStatus| path.is_file();
    node.until("the file of what the log lost", MINUTE, written).await?;
    let text = fs::read_to_string(&path)?;
    let lines = text.lines().map(|line| -> Result<_> {
        let line: Value = serde_json::from_str(line)?;
        let key = line["key"].as_str().context("a line has a key")?.to_owned();
        Ok((key, line))
    });
    let lost: BTreeMap<_, _> = lines.collect::<Result<_>>()?;
    ensure!(lost.len() == text.lines().count(), "a line for each key:\n{text}");
    Ok(lost)
}

fn line(loss: &str, key: &str, old: Value, new: Value) -> (String, Value) {
    let line = json!({ "loss": loss, "partition": 0, "key": key, "old": old, "new": new });
    (key.to_owned(), line)
}

/// What the file has of the ten rows that a lossy node begins with.
fn the_ten() -> BTreeMap<String, Value> {
    let old = |offset: u64| json!({ "offset": offset, "value": "1" });
    let row = |number| line("certain", &format!("old {number}"), old(number), Value::Null);
    (0..10).map(row).collect()
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
        ensure!(lost(&lossy.node).await? == the_ten(), "{:?}", lost(&lossy.node).await?);

        let listed = String::from_utf8(lossy.node.on_disk("drop-quarantine", &[])?.stdout)?;
        ensure!(listed.starts_with("g1  ") && listed.contains("the log ends at"), "{listed}");
        ensure!(listed.contains("lost-g1.jsonl: 10 keys"), "{listed}");
        let reset = lossy.node.on_disk("reset", &["--yes"])?;
        ensure!(reset.status.code() == Some(64) && kept(&lossy.node), "{reset:?}");
        let unknown = lossy.node.on_disk("drop-quarantine", &["g2"])?;
        ensure!(unknown.status.code() == Some(64) && kept(&lossy.node), "{unknown:?}");
        let asked = lossy.node.on_disk("drop-quarantine", &["g1"])?;
        ensure!(asked.status.success() && kept(&lossy.node), "without --yes: {asked:?}");
        ensure!(String::from_utf8_lossy(&asked.stdout).contains("Say --yes"), "{asked:?}");
        let file = lossy.node.data().join(STORE).join("lost-g1.jsonl");
        let aside = file.with_extension("aside");
        fs::rename(&file, &aside)?;
        let early = lossy.node.on_disk("drop-quarantine", &["g1", "--yes"])?;
        ensure!(
            early.status.code() == Some(65) && kept(&lossy.node),
            "rows are told first: {early:?}"
        );
        fs::rename(&aside, &file)?;
        let dropped = lossy.node.on_disk("drop-quarantine", &["g1", "--yes"])?;
        ensure!(dropped.status.success() && !kept(&lossy.node), "{dropped:?}");
        ensure!(lost(&lossy.node).await? == the_ten(), "the file stays");
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
        ensure!(lost(&lossy.node).await? == the_ten(), "{:?}", lost(&lossy.node).await?);
        Ok(())
    })
}

#[test]
fn a_log_that_lost_its_last_records_is_told_apart_key_by_key() -> Result<()> {
    run(async {
        let mut lossy = Lossy::start("tail").await?;
        let name = lossy.topic.name().to_owned();
        lossy.cluster.kill_all()?;
        lossy.cluster.keep_partition(1, &name, P0)?;
        lossy.cluster.start_all()?;
        let store = lossy.node.store().await?;
        store.put("old 1", "2").await?;
        store.delete("old 2").await?;
        store.put(&b"\xff"[..], "1").await?;
        let last = store.put("old 4", "1").await?;
        let on_disk = |status: &outrigger_client::StoreStatus| durable(status) > last.offset;
        lossy.node.until("on disk", MINUTE, on_disk).await?;

        lossy.cluster.kill_all()?;
        lossy.cluster.put_partition_back(1, &name, P0)?;
        lossy.cluster.start_all()?;
        lossy.rebuilt_beside_the_old_copy("the log lost records").await?;
        let store = lossy.node.store().await?;
        ensure!(store.get("old 2").await?.is_some(), "the log lost its delete");

        let old = |offset: u64, value: &str| json!({ "offset": offset, "value": value });
        let at = |offset: u64| json!({ "offset": offset });
        let expected = BTreeMap::from([
            line("certain", "old 1", old(10, "2"), at(1)),
            line("possible", "old 2", Value::Null, at(2)),
            line("certain", "\\xff", old(12, "1"), Value::Null),
        ]);
        let first = lost(&lossy.node).await?;
        ensure!(first == expected, "{first:#?}");

        lossy.node.kill()?;
        fs::remove_file(lossy.node.data().join(STORE).join("lost-g1.jsonl"))?;
        lossy.node.start().await?;
        lossy.node.until_ready().await?;
        ensure!(
            lost(&lossy.node).await? == expected,
            "a start writes what a crash kept from being written"
        );

        lossy.node.kill()?;
        let (bootstrap, rescued) = (lossy.cluster.bootstrap(), format!("{name}-rescued"));
        let into = ["--bootstrap", &bootstrap, "--topic", &rescued, "--create", "--yes"];
        let reseeded = lossy.node.on_disk("reseed", &[&into[..], &["--from", "g1"]].concat())?;
        ensure!(reseeded.status.success(), "{reseeded:?}");
        let rescued = Topic::existing(&bootstrap, &rescued, 1)?;
        ensure!(
            rescued.ends(P0)?.1 == Offset(10),
            "what was set aside: nine old rows and a new one"
        );
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
        let listed = String::from_utf8(node.on_disk("drop-quarantine", &[])?.stdout)?;
        ensure!(
            !listed.contains("lost-g1"),
            "nothing is told of a copy that cannot be read: {listed}"
        );
        Ok(())
    })
}

fn manifest(node: &Node) -> Result<PathBuf> {
    let files = fs::read_dir(node.data().join(STORE).join("g1"))?;
    let paths: Vec<PathBuf> = files.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    let is_manifest = |path: &&PathBuf| path.to_string_lossy().contains("MANIFEST");
    paths.iter().find(is_manifest).cloned().context("RocksDB has a manifest")
}
