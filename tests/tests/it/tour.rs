//! What the pages of `docs/deploy` tell a reader to do works as it stands there, from top to bottom.

use std::fs::{File, read_to_string};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::{Cluster, TopicSpec, Way};
use outrigger_tests::node::{binary, free_port};
use tempfile::TempDir;

const THREE_NODES: &str = include_str!("../../../docs/deploy/three-nodes.md");

/// Nothing of the script waits longer by itself.
const SECONDS_MAX: &str = "300";

const RIGHTS: [&str; 4] = ["Read", "Write", "Describe", "DescribeConfigs"];

/// Ends what the script has started, whatever became of it.
const BEGINNING: &str = "set -euo pipefail\ntrap 'kill $(jobs -p) 2> /dev/null; wait' EXIT\n";

/// The first line of the rehearsal without a topic, and what waits there until it is deleted.
const LOST: &str = "outrigger get greeting --server $two --level stale\n";
const LOSE: &str = "touch lose\nuntil [[ -e lost ]]; do sleep 0.1; done\n";

const POLL: Duration = Duration::from_millis(50);

/// All lines that a page has to paste, one after the other.
fn pasted(page: &str) -> String {
    let blocks = page.split("```sh\n").skip(1);
    blocks.filter_map(|block| block.split("```").next()).collect()
}

/// Addresses, names of topics and what Kafka's administrator gives are replaced: a test must not meet what runs on this
/// machine, nor another test.
#[test]
fn three_nodes_behind_tls_are_begun_upgraded_saved_and_brought_back() -> Result<()> {
    let cluster = Cluster::secured()?;
    let (first, second) =
        (cluster.topic("tour", TopicSpec::store())?, cluster.topic("tour-2", TopicSpec::store())?);
    cluster.add_user("tour")?;
    for topic in [&first, &second] {
        cluster.allow("tour", topic.name(), &RIGHTS)?;
    }
    let mut script = pasted(THREE_NODES);
    let mut replace = |from: &str, to: &str| -> Result<()> {
        ensure!(script.contains(from), "{from} is not in what the page has to paste:\n{script}");
        script = script.replace(from, to);
        Ok(())
    };
    replace("\"notes-2\"", &format!("\"{}\"", second.name()))?;
    replace("--topic notes-2", &format!("--topic {}", second.name()))?;
    replace("topic = \"notes\"", &format!("topic = \"{}\"", first.name()))?;
    replace("kafka-1:9093", &cluster.way(Way::Scram)?)?;
    replace("/etc/kafka/ca.pem", &cluster.authority().display().to_string())?;
    replace("notes-nodes", "tour")?;
    let password = cluster
        .scram("tour")
        .into_iter()
        .find_map(|setting| setting.strip_prefix("sasl.password=").map(str::to_owned));
    replace("kafka-password", &password.context("a user has a password")?)?;
    replace("listen = \"127.0.0.1:$port\"", "listen = \"127.0.0.1:$(port $port)\"")?;
    replace(
        "metrics = \"127.0.0.1:$((port + 1))\"",
        "metrics = \"127.0.0.1:$(port $((port + 1)))\"",
    )?;
    replace(
        "peer_listen = \"127.0.0.1:$((port + 2))\"",
        "peer_listen = \"127.0.0.1:$(port $((port + 2)))\"",
    )?;
    let mut ports = String::new();
    for port in ["7400", "7402", "7410", "7412", "7420", "7422"] {
        let free = free_port()?.to_string();
        replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{free}"))?;
        ports += &format!("{port}) echo {free} ;; ");
    }
    for port in ["7401", "7411", "7421"] {
        ports += &format!("{port}) echo {} ;; ", free_port()?);
    }
    replace(LOST, &format!("{LOSE}{LOST}"))?;
    let script = format!("{BEGINNING}port() {{ case $1 in {ports}esac; }}\n{script}");
    let dir = TempDir::new()?;
    let binary = binary();
    let path = binary.parent().context("a program is in a directory")?.display().to_string();
    let path = format!("{path}:{}", std::env::var("PATH")?);
    let mut bash = Command::new("timeout");
    bash.args(["--kill-after=10", SECONDS_MAX, "bash", "-c", &script]).env("PATH", path);
    let said = |name: &str| dir.path().join(name);
    bash.stdout(File::create(said("out"))?).stderr(File::create(said("errors"))?);
    bash.current_dir(dir.path()).stdin(Stdio::null());
    let mut bash = bash.spawn().context("starting bash")?;
    let status = loop {
        if let Some(status) = bash.try_wait()? {
            break status;
        }
        if said("lose").exists() && !said("lost").exists() {
            first.delete()?;
            File::create(said("lost"))?;
        }
        std::thread::sleep(POLL);
    };
    let (out, log) = (read_to_string(said("out"))?, read_to_string(said("errors"))?);
    let nodes = ["one", "two", "three"]
        .map(|node| read_to_string(said(&format!("{node}.log"))).unwrap_or_default());
    ensure!(status.success(), "{status}\n{out}\n{log}\n{}", nodes.join("\n"));
    ensure!(said("lost").exists(), "the topic was not deleted");
    ensure!(out.matches("hello").count() == 4, "{out}\n{log}");
    ensure!(out.matches("refused, as it has to be").count() == 2, "{out}\n{log}");
    ensure!(out.matches("equal").count() >= 3, "{out}\n{log}");
    // Nothing of it needed the topic of before any more.
    let (start, end) = second.ends(Partition(0))?;
    ensure!(start < end, "the new topic has the rows");
    Ok(())
}
