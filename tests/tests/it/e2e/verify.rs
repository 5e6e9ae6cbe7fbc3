//! `outrigger verify`: equal copies are called equal under load, and a difference is named by its keys.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, STORE, binary};
use outrigger_tests::writers::Writers;
use rocksdb::{BoundColumnFamily, DB, FlushOptions, Options, WriteOptions};

use super::peers::SECRET;
use super::{MINUTE, Place, durable, run};

fn verify(nodes: &[&Node], arguments: &[&str]) -> Result<Output> {
    end_of(command(nodes, arguments))
}

/// `outrigger verify` of these nodes, with these arguments.
fn command(nodes: &[&Node], arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("verify").args(["--store", STORE]).args(arguments);
    for node in nodes {
        command.args(["--server", &node.url()]);
    }
    command
}

fn end_of(mut command: Command) -> Result<Output> {
    tokio::task::block_in_place(|| command.output()).context("starting outrigger verify")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn copies_are_equal_at_one_position_while_writes_go_on() -> Result<()> {
    run(async {
        let place = Place::new("verify", TopicSpec::store().partitions(3))?;
        let mut nodes = Vec::new();
        for name in ["one", "two", "three"] {
            nodes.push(place.ready_node(name).await?);
        }
        let empty = verify(&nodes.iter().collect::<Vec<_>>(), &[])?;
        ensure!(empty.status.code() == Some(0), "{}", text(&empty));
        let addresses: Vec<String> = nodes.iter().map(Node::url).collect();
        let writers = Writers::start([&addresses[..], &addresses].concat(), 200);
        let position = |status: &outrigger_client::StoreStatus| {
            status.partitions.iter().map(|partition| partition.position).sum::<u64>()
        };
        for round in 1..=3 {
            let before = position(&nodes[0].status().await?);
            let more = |status: &_| position(status) > before + 100;
            nodes[0].until("they write", MINUTE, more).await?;
            let output = verify(&nodes.iter().collect::<Vec<_>>(), &[])?;
            let text = text(&output);
            ensure!(output.status.code() == Some(0), "round {round}: {text}");
            ensure!(text.matches("rows  equal").count() == 3, "round {round}: {text}");
        }
        nodes[2].kill()?;
        let output = verify(&nodes.iter().collect::<Vec<_>>(), &[])?;
        ensure!(output.status.code() == Some(69), "a node is gone: {}", text(&output));
        drop(writers.stop().await?);
        Ok(())
    })
}

#[test]
fn only_ready_copies_are_compared() -> Result<()> {
    run(async {
        let place = Place::new("verify-ready", TopicSpec::store())?;
        let one = place.ready_node("one").await?;
        let nowhere = ["--bootstrap", "127.0.0.1:1", "--store", STORE];
        let mut two = Node::with_settings(place.dir.path(), "two", &nowhere)?;
        two.start().await?;
        let output = verify(&[&one, &two], &[])?;
        let text = text(&output);
        ensure!(output.status.code() == Some(75), "{text}");
        ensure!(text.contains(&format!("{} is OPENING", two.url())), "{text}");
        Ok(())
    })
}

#[test]
fn rows_changed_behind_a_nodes_back_are_named() -> Result<()> {
    run(async {
        let place = Place::new("verify-changed", TopicSpec::store())?;
        let nodes = changed(&place).await?;
        let output = verify(&[&nodes[0], &nodes[1]], &[])?;
        let text = text(&output);
        ensure!(output.status.code() == Some(1), "{text}");
        let (one, two) = (nodes[0].url(), nodes[1].url());
        for told in [
            format!("{one}  200 rows  equal\n  {two}  200 rows  DIFFERS from {one} in "),
            format!("key absent\n  {one}  0:1\n  {two}  absent\n"),
            format!("key changed\\tvalue\n  {one}  0:0\n  {two}  0:0, with another value\n"),
            format!("key stranger\n  {one}  absent\n  {two}  0:7\n"),
        ] {
            ensure!(text.contains(&told), "{told}is not in\n{text}");
        }
        ensure!(text.matches("key ").count() == 3, "{text}");
        Ok(())
    })
}

#[test]
fn the_log_tells_which_of_two_nodes_is_wrong() -> Result<()> {
    run(async {
        let place = Place::new("verify-log", TopicSpec::store())?;
        let [one, two] = changed(&place).await?;
        let scratch = place.dir.path().join("scratch");
        std::fs::create_dir(&scratch)?;
        let from_log =
            ["--from-log", "--bootstrap", &place.bootstrap, "--topic", place.topic.name()];
        let of = |nodes: &[&Node]| -> Result<(Option<i32>, String)> {
            let mut command = command(nodes, &from_log);
            command.env("TMPDIR", &scratch);
            let output = end_of(command)?;
            ensure!(std::fs::read_dir(&scratch)?.next().is_none(), "something is left behind");
            Ok((output.status.code(), text(&output)))
        };
        let (code, text) = of(&[&two, &one])?;
        ensure!(code == Some(1), "{text}");
        for told in [
            "the log  200 rows  equal\n".to_owned(),
            format!("{}  200 rows  DIFFERS from the log in ", two.url()),
            format!("{}  200 rows  equal\n", one.url()),
            format!("key absent\n  the log  0:1\n  {}  absent\n  {}  0:1\n", two.url(), one.url()),
        ] {
            ensure!(text.contains(&told), "{told}is not in\n{text}");
        }
        let (code, text) = of(&[&one])?;
        ensure!(code == Some(0), "{text}");
        Ok(())
    })
}

#[test]
fn the_log_comes_from_the_log_and_not_from_a_copy_under_test() -> Result<()> {
    run(async {
        let place = Place::new("verify-peers", TopicSpec::store())?;
        place.fill()?;
        let mut wrong = place.giver(&[]).await?;
        ensure!(wrong.stop()?.success());
        alter(&wrong, |altered| altered.delete(b"key 1"))?;
        wrong.start().await?;
        wrong.until_ready().await?;
        let settings = place.dir.path().join("settings.toml");
        let secret = place.secret("secret", SECRET)?;
        let text = format!(
            "data = '/nonexistent'\nbootstrap = '{}'\npeers = ['{}']\npeer_secret_file = '{}'\n\
             [[store]]\nname = '{STORE}'\ntopic = '{}'\n",
            place.bootstrap,
            wrong.url(),
            secret.display(),
            place.topic.name()
        );
        std::fs::write(&settings, text)?;
        let settings = settings.to_str().context("a path of text")?;

        let output = verify(&[&wrong], &["--from-log", "--config", settings])?;

        let text = self::text(&output);
        ensure!(output.status.code() == Some(1), "{text}");
        let told = format!("key key 1\n  the log  0:10001\n  {}  absent\n", wrong.url());
        ensure!(text.contains(&told), "{told}is not in\n{text}");
        Ok(())
    })
}

#[test]
fn a_log_that_does_not_answer_is_told_by_name() -> Result<()> {
    run(async {
        let place = Place::new("verify-nowhere", TopicSpec::store())?;
        let one = place.ready_node("one").await?;
        let nowhere = ["--from-log", "--bootstrap", "127.0.0.1:1", "--timeout", "2s"];
        let output = verify(&[&one], &nowhere)?;
        let text = text(&output);
        ensure!(output.status.code() == Some(75), "{text}");
        ensure!(text.contains("the log is OPENING") && text.contains("bootstrap"), "{text}");
        Ok(())
    })
}

/// Two READY nodes with 200 rows; those of the second one were changed while it was stopped.
async fn changed(place: &Place) -> Result<[Node; 2]> {
    let one = place.ready_node("one").await?;
    let mut two = place.ready_node("two").await?;
    let store = one.store().await?;
    store.put("changed\tvalue", "as it should be").await?;
    store.put("absent", "to be deleted").await?;
    for number in 0..198 {
        store.put(format!("row {number}"), "value").await?;
    }
    two.until("on disk", MINUTE, |status| durable(status) >= 200).await?;
    ensure!(two.stop()?.success());
    tamper(&two)?;
    two.start().await?;
    two.until_ready().await?;
    Ok([one, two])
}

/// Changes rows of a stopped node's copy behind its back.
pub(crate) fn tamper(node: &Node) -> Result<()> {
    alter(node, |altered| {
        altered.put(b"changed\tvalue", 0, b"rotten")?;
        altered.put(b"stranger", 7, b"from nowhere")?;
        altered.delete(b"absent")
    })
}

/// Partition 0 of a stopped node's copy. Rows are as the sidecar stores them: a prefix before the key, the offset
/// before the value, no write-ahead log.
struct Altered {
    db: DB,
    unlogged: WriteOptions,
}

impl Altered {
    fn put(&self, key: &[u8], offset: u64, value: &[u8]) -> Result<()> {
        let (key, value) = ([b"\x01", key].concat(), [&offset.to_be_bytes(), value].concat());
        Ok(self.db.put_cf_opt(&self.family()?, key, value, &self.unlogged)?)
    }

    fn delete(&self, key: &[u8]) -> Result<()> {
        Ok(self.db.delete_cf_opt(&self.family()?, [b"\x01", key].concat(), &self.unlogged)?)
    }

    fn family(&self) -> Result<Arc<BoundColumnFamily<'_>>> {
        self.db.cf_handle("p0").context("partition 0 has a column family")
    }
}

fn alter(node: &Node, with: impl FnOnce(&Altered) -> Result<()>) -> Result<()> {
    let path: PathBuf = node.data().join(STORE).join("g1");
    let options = Options::default();
    let families = DB::list_cf(&options, &path)?;
    let db = DB::open_cf(&options, &path, families)?;
    let mut unlogged = WriteOptions::default();
    unlogged.disable_wal(true);
    let altered = Altered { db, unlogged };
    with(&altered)?;
    let mut waiting = FlushOptions::default();
    waiting.set_wait(true);
    Ok(altered.db.flush_cf_opt(&altered.family()?, &waiting)?)
}
