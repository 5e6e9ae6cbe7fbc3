//! What a node must not go on with, on a real topic: named, nothing lost, nothing merged.

use std::process::Output;

use anyhow::{Result, ensure};
use outrigger_client::proto::v1::{Phase, Reason, StallKind};
use outrigger_client::{ErrorKind, Level};
use outrigger_core::offset::{Offset, Partition};
use outrigger_tests::kafka::TopicSpec;

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
        let asked = node.on_disk("reset", &[])?;
        ensure!(asked.status.success() && said(&asked).contains("Say --yes"), "{asked:?}");
        node.start().await?;
        node.until("refused: nothing was reset", MINUTE, refused).await?;
        node.kill()?;
        let reset = node.on_disk("reset", &["--yes"])?;
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
            // Not compressible: the files must reach the limit.
            value.iter_mut().enumerate().skip(8).for_each(|(at, byte)| {
                let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    ^ u64::try_from(at).unwrap_or(0);
                *byte = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes()[7];
            });
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
        ensure!(outrigger_tests::load::rows(&node).await?.len() == 80);
        Ok(())
    })
}
