//! What a node must not go on with, on a real topic: named, nothing lost, nothing merged.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use outrigger_client::proto::v1::{Phase, Reason, Stall, StallKind};
use outrigger_client::{ErrorKind, Level};
use outrigger_core::offset::{Offset, Partition};
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::Node;
use tempfile::TempDir;

use super::operator::past_horizon;
use super::{MINUTE, Place, durable, has_stall, refused, run};

const P0: Partition = Partition(0);

/// What a command told, be it an answer or a complaint.
fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

fn refusal(status: &outrigger_client::StoreStatus) -> Option<Reason> {
    use outrigger_client::proto::v1::cause::Why;
    match status.cause.as_ref()?.why? {
        Why::Refusal(reason) => Reason::try_from(reason).ok(),
        Why::Restore(_) => None,
    }
}

/// A command that a message names, as it stands there.
fn command_in(text: &str, command: &str) -> Result<String> {
    let named = text.split('`').find(|part| part.starts_with(command));
    named.map(str::to_owned).with_context(|| format!("{command} in {text}"))
}

/// Runs a command as somebody does who reads the message.
fn pasted(command: &str) -> Result<Output> {
    let binary = outrigger_tests::node::binary();
    let directory = binary.parent().context("a program is in a directory")?;
    let path = format!("{}:{}", directory.display(), std::env::var("PATH")?);
    Ok(Command::new("sh").args(["-c", command]).env("PATH", path).output()?)
}

#[test]
fn another_cluster_at_the_address_is_named_with_that_of_the_copy() -> Result<()> {
    run(async {
        let dir = TempDir::new()?;
        let first = Cluster::start(1, &[])?;
        let topic = first.topic("moved", TopicSpec::store())?.name().to_owned();
        let mut node = Node::new(dir.path(), "one", &first.bootstrap(), &topic)?;
        node.start().await?;
        let own = node.until_ready().await?.cluster_id;
        let last = node.store().await?.put("mine", "1").await?;
        node.until("on disk", MINUTE, |status| durable(status) > last.offset).await?;
        node.kill()?;
        drop(first);

        let second = Cluster::start(1, &[])?;
        let mut node = Node::new(dir.path(), "one", &second.bootstrap(), &topic)?;
        node.start().await?;
        let named = |status: &outrigger_client::StoreStatus| {
            let told = |stall: &Stall| stall.detail.contains("is another cluster");
            has_stall(status, StallKind::TopicGone) && status.stalls.iter().any(told)
        };
        let status = node.until("the other cluster", MINUTE, named).await?;
        let Stall { detail, what_to_do, .. } = &status.stalls[0];
        let both = [format!("the copy here is of cluster {own}"), second.bootstrap()];
        ensure!(both.iter().all(|part| detail.contains(part)), "{own}: {detail}");
        ensure!(command_in(what_to_do, "outrigger reset")?.contains("--data /"), "{what_to_do}");
        node.kill()?;
        for command in ["plan", "doctor"] {
            let text = said(&node.look(command)?);
            ensure!(text.contains(&both[0]) && text.contains("is another cluster"), "{text}");
        }
        Ok(())
    })
}

#[test]
fn a_topic_that_is_not_only_compacted_is_refused_and_taken_when_mended() -> Result<()> {
    run(async {
        let mut place =
            Place::new("policy", TopicSpec::store().set("cleanup.policy", "compact,delete"))?;
        let mut node = place.node("one")?;
        node.start().await?;
        let status = node.until("refused", MINUTE, refused).await?;
        ensure!(refusal(&status) == Some(Reason::RefusedTopicPolicy), "{status:?}");
        let write = node.store().await?.put("k", "v").await;
        ensure!(
            write.is_err_and(
                |error| error.kind() == ErrorKind::Refused && !error.may_have_happened()
            )
        );
        place.topic.alter("cleanup.policy", "compact")?;
        node.until_ready().await?;
        ensure!(node.store().await?.get("k").await?.is_none(), "nothing was written meanwhile");
        Ok(())
    })
}

/// Nothing tells the next process that tombstones which the copy lacks may have come and gone.
#[test]
fn a_retention_that_was_lowered_is_known_to_the_copy_of_a_node_that_refused_meanwhile() -> Result<()>
{
    run(async {
        let mut place = Place::new("lowered-while-refused", TopicSpec::store())?;
        let mut node = place.ready_node("one").await?;
        let written = node.store().await?.put("k", "v").await?;
        node.until("on disk", MINUTE, |status| durable(status) > written.offset).await?;
        node.kill()?;
        place.topic.alter("delete.retention.ms", "2000")?;
        place.topic.alter("cleanup.policy", "compact,delete")?;
        node.start().await?;
        node.until("refused", MINUTE, refused).await?;
        node.kill()?;
        place.topic.alter("delete.retention.ms", "604800000")?;
        place.topic.alter("cleanup.policy", "compact")?;
        tokio::task::block_in_place(|| past_horizon(&node))?;
        node.start().await?;
        node.until_ready().await?;
        ensure!(node.store().await?.get("k").await?.is_some(), "read from the log again");
        Ok(())
    })
}

#[test]
fn a_recreated_topic_is_refused_and_the_disk_keeps_what_it_had() -> Result<()> {
    run(async {
        let place = Place::new("recreated", TopicSpec::store())?;
        let mut node = place.ready_node("one").await?;
        let store = node.store().await?;
        let token_store = store.clone();
        let last = store.put("mine", "1").await?;
        node.until("on disk", MINUTE, |status| durable(status) > last.offset).await?;
        place.topic.delete()?;
        place.topic.create_again()?;
        place.topic.put(P0, b"foreign", Some(b"2"))?;
        let status = node.until("refused", MINUTE * 2, refused).await?;
        ensure!(refusal(&status) == Some(Reason::RefusedIdentity), "{status:?}");
        let told = status.cause.as_ref().map(|cause| cause.what_to_do.clone()).unwrap_or_default();
        let refused_read =
            node.store().await?.get("mine").await.err().map(|error| error.to_string());
        ensure!(refused_read.is_some_and(|error| error.contains(&told)), "{told}");
        let command = command_in(&told, "outrigger reset")?;
        let stale = node.store().await?.with_level(Level::Stale).get("foreign").await;
        ensure!(!matches!(stale, Ok(Some(_))), "a foreign row is served");
        ensure!(token_store.get("mine").await.is_err());

        node.kill()?;
        node.start().await?;
        node.until("refused again", MINUTE, refused).await?;
        let running = node.on_disk("reset", &["--yes"])?;
        ensure!(running.status.code() == Some(73), "{running:?}");
        ensure!(said(&running).contains("in use by process"), "{running:?}");
        node.kill()?;
        let asked = pasted(&command)?;
        ensure!(asked.status.success() && said(&asked).contains("Say --yes"), "{asked:?}");
        node.start().await?;
        node.until("refused: nothing was reset", MINUTE, refused).await?;
        node.kill()?;
        let reset = pasted(&format!("{command} --yes"))?;
        ensure!(reset.status.success(), "{reset:?}");
        let again = node.on_disk("reset", &["--yes"])?;
        ensure!(said(&again).contains("nothing to reset"), "{again:?}");
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?;
        ensure!(store.get("foreign").await?.is_some() && store.get("mine").await?.is_none());
        let session = node.store().await?;
        session.resume(token_store.token().expect("the session wrote"))?;
        let lost = session.get("foreign").await;
        ensure!(
            lost.is_err_and(|error| error.reason() == Some(Reason::TokenOfAnotherTopic)),
            "a token of the old topic is refused by name"
        );
        Ok(())
    })
}

#[test]
fn a_log_with_deleted_records_is_not_rebuilt_from() -> Result<()> {
    run(async {
        let place = Place::new("deleted-records", TopicSpec::store())?;
        let mut has_all = place.ready_node("one").await?;
        let store = has_all.store().await?;
        store.put("a", "1").await?;
        let last = store.put("b", "2").await?;
        has_all.until("on disk", MINUTE, |status| durable(status) > last.offset).await?;
        place.topic.delete_records(P0, Offset(1))?;
        let mut empty = place.node("two")?;
        empty.start().await?;
        let status = empty.until("refused", MINUTE, refused).await?;
        ensure!(refusal(&status) == Some(Reason::RefusedLogIncomplete), "{status:?}");
        has_all.kill()?;
        has_all.start().await?;
        has_all.until_ready().await?;
        ensure!(has_all.store().await?.get("a").await?.is_some(), "the copy that has it goes on");
        Ok(())
    })
}

#[test]
fn an_open_transaction_is_named_and_its_end_ends_the_restore() -> Result<()> {
    run(async {
        let place = Place::new("open-transaction", TopicSpec::store())?;
        place.topic.put(P0, b"a", Some(b"1"))?;
        let transaction = place.topic.begin("foreign", MINUTE * 5)?;
        transaction.put(P0, b"t", Some(b"2"))?;
        place.topic.put(P0, b"b", Some(b"3"))?;
        let mut node = place.node("one")?;
        node.start().await?;
        let named =
            |status: &outrigger_client::StoreStatus| has_stall(status, StallKind::OpenTransaction);
        let status = node.until("the stall", MINUTE, named).await?;
        ensure!(status.phase() == Phase::Restoring, "{status:?}");
        tokio::task::block_in_place(|| transaction.abort())?;
        node.until_ready().await?;
        let store = node.store().await?;
        ensure!(store.get("t").await?.is_none() && store.get("b").await?.is_some());
        Ok(())
    })
}

#[test]
fn a_full_disk_is_named_and_nothing_is_lost() -> Result<()> {
    run(async {
        let place = Place::new("full", TopicSpec::store())?;
        let value = vec![b'x'; 100_000];
        for number in 0..80_u64 {
            let mut value = value.clone();
            value[..8].copy_from_slice(&number.to_le_bytes());
            // This does not compress: the files must reach the limit.
            for (at, byte) in value.iter_mut().enumerate().skip(8) {
                let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    ^ u64::try_from(at).unwrap_or(0);
                *byte = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes()[7];
            }
            place.topic.put(P0, format!("key {number}").as_bytes(), Some(&value))?;
        }
        let mut node = place.node("one")?;
        node.limit_files(Some(2 * 1_024 * 1_024));
        node.start().await?;
        node.until("the stall", MINUTE, |status| has_stall(status, StallKind::StoreFull)).await?;
        node.kill()?;
        node.limit_files(None);
        node.start().await?;
        node.until_ready().await?;
        ensure!(outrigger_tests::writers::rows(&node).await?.len() == 80);
        Ok(())
    })
}
