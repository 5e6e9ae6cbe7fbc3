//! A topic keeps the replicas that it is created with: they are those that the cluster is meant to give.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::StoreStatus;
use outrigger_client::proto::v1::StallKind;
use outrigger_core::offset::Partition;
use outrigger_core::topic::TopicPolicy;
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::Node;
use tempfile::TempDir;

use super::{MINUTE, has_stall, run};
use crate::log_client::LogClient;

#[test]
fn a_topic_waits_for_the_brokers_that_its_cluster_is_meant_to_have() -> Result<()> {
    run(async {
        let mut cluster = Cluster::start_without(3, 3)?;
        let dir = TempDir::new()?;
        let creating = |name: &str, args: &[&str]| -> Result<Node> {
            let node = Node::new(dir.path(), name, &cluster.bootstrap(), name)?;
            Ok(node.with_args(&["--create"]).with_args(args))
        };
        let mut patient = creating("patient", &[])?;
        let mut chosen = creating("chosen", &["--replication", "1"])?;
        patient.start().await?;
        chosen.start().await?;
        let waits = "it is to have 3 replicas, for good, and 2 brokers are up";
        told(&patient, waits).await?;
        let says =
            |status: &StoreStatus| status.stalls.iter().any(|stall| stall.detail.contains(waits));
        let status = patient.until("what it waits for", MINUTE, says).await?;
        ensure!(has_stall(&status, StallKind::TopicGone), "{status:?}");
        let refused = patient.store().await?.put("k", "v").await;
        let refused = refused.err().context("written to a topic that is not there")?.to_string();
        let text = String::from_utf8(patient.ask("status", &[])?.stdout)?;
        for told in [&refused, &text] {
            ensure!(told.contains(waits) && told.contains("start the other brokers"), "{told}");
        }
        chosen.until_ready().await?;
        ensure!(policy(&cluster, "chosen").replication == 1);

        cluster.start_broker(3)?;
        let status = patient.until_ready().await?;
        ensure!(status.stalls.is_empty(), "{status:?}");
        patient.store().await?.put("k", "v").await?;
        let patient = policy(&cluster, "patient");
        ensure!((patient.replication, patient.min_insync_replicas) == (3, 2), "{patient:?}");
        Ok(())
    })
}

#[test]
fn no_topic_is_made_where_a_copy_of_it_is_already() -> Result<()> {
    run(async {
        let cluster = Cluster::shared()?;
        let topic = cluster.topic("died", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?
            .with_args(&["--create", "--replication", "1"]);
        node.start().await?;
        node.until_ready().await?;
        node.kill()?;
        topic.delete()?;
        node.start().await?;
        let gone = |status: &StoreStatus| has_stall(status, StallKind::TopicGone);
        let status = node.until("the topic's absence", MINUTE, gone).await?;
        let advice = &status.stalls[0].what_to_do;
        ensure!(advice.contains("Where one has, do not"), "{advice}");
        // By then it would have been made: a creation goes before the node's first question.
        ensure!(topic.leader_now(Partition(0)).is_none(), "it was made anew");
        Ok(())
    })
}

#[test]
fn the_doctors_commands_give_a_topic_its_replicas() -> Result<()> {
    run(async {
        let cluster = Cluster::start(3, &[])?;
        let spec = TopicSpec::store().partitions(2).replicas(1).set("min.insync.replicas", "1");
        let topic = cluster.topic("born-poor", spec)?;
        let dir = TempDir::new()?;
        let node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        let text = doctor(&node, 1)?;
        ensure!(text.contains("bad   the topic has 1 replica(s) and is to have 3"), "{text}");
        ensure!(text.contains("bad   min.insync.replicas is 1"), "{text}");
        let commands: Vec<&str> =
            text.lines().map(str::trim).filter(|line| line.contains("kafka-")).collect();
        ensure!(commands.len() == 2, "{text}");

        let path = format!("{}:{}", cluster.tools()?.display(), std::env::var("PATH")?);
        for command in commands {
            let mut shell = Command::new("sh");
            shell.args(["-c", command]).env("PATH", &path).current_dir(dir.path());
            let output = shell.output().context("running the doctor's command")?;
            ensure!(output.status.success(), "{command}: {output:?}");
        }

        let deadline = Instant::now() + MINUTE;
        while policy(&cluster, topic.name()).replication < 3 {
            ensure!(Instant::now() < deadline, "the replicas do not come");
        }
        let text = doctor(&node, 0)?;
        ensure!(!text.contains("replica(s)") && !text.contains("min.insync"), "{text}");
        Ok(())
    })
}

fn doctor(node: &Node, code: i32) -> Result<String> {
    let output = node.look("doctor")?;
    let text = String::from_utf8([output.stdout, output.stderr].concat())?;
    ensure!(output.status.code() == Some(code), "{:?}: {text}", output.status);
    Ok(text)
}

fn policy(cluster: &Cluster, topic: &str) -> TopicPolicy {
    LogClient::start(&cluster.bootstrap(), topic).describe().policy
}

async fn told(node: &Node, text: &str) -> Result<()> {
    let deadline = Instant::now() + MINUTE;
    while !node.log().contains(text) {
        ensure!(Instant::now() < deadline, "{text} is not in\n{}", node.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
