//! Cursors that no watch can go on from: told by name, and never made up for.

use anyhow::{Context, Result, ensure};
use outrigger_client::{ErrorKind, Reason, Store, Watch};
use outrigger_core::offset::Partition;
use outrigger_tests::follower::Followed;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::Node;
use outrigger_tests::writers::rows;

use super::{followed, group, point_behind, put};
use crate::e2e::{Place, run};

/// A watch that may fail does, and another one is sent the state.
async fn is_lost(node: &Node, name: &str, why: &str) -> Result<()> {
    let store = node.store().await?;
    let got = store.cursor(name).get().await.err().with_context(|| format!("{name} is good"))?;
    ensure!(got.kind() == ErrorKind::Compacted && got.to_string().contains(why), "{got}");
    let failing = Watch::all().from_cursor(name).fail_when_lost();
    let ended = match store.watch(failing).await {
        Ok(mut events) => events.next().await.context("a watch has no end")?.err(),
        Err(error) => Some(error),
    };
    let ended = ended.with_context(|| format!("a watch goes on from {name}"))?;
    ensure!(ended.kind() == ErrorKind::Compacted, "{ended}");
    let mark = store.put("mark", name).await?;
    let watch = Watch::all().from_cursor(name);
    let told = followed(node, watch, Followed::default(), &[mark]).await?;
    ensure!(told.again == 1, "{name}: the state was sent again");
    ensure!(told.rows == rows(node).await?, "{name}: and all of it");
    Ok(())
}

async fn listed_as_lost(store: &Store, name: &str) -> Result<bool> {
    let (listed, _more) = store.cursors().await?;
    let found = listed.into_iter().find(|cursor| cursor.name == name);
    Ok(found.is_some_and(|cursor| cursor.point.is_none() && cursor.lost.is_some()))
}

#[test]
fn what_is_not_known_or_not_ours_is_answered_with_the_state_or_by_name() -> Result<()> {
    run(async {
        let place = Place::new("cursor-lost", TopicSpec::store().partitions(3))?;
        let node = place.ready_node("one").await?;
        let store = node.store().await?;
        let first = put(&store, (0..20).map(|number| format!("key {number}"))).await?;
        let point = point_behind(&node, &first).await?;
        is_lost(&node, "nobody-has-committed-it", "is not known").await?;

        store.cursor("lost-whole").commit(&point).await?;
        let whole = place.topic.committed(&group("lost-whole"))?;
        let mut foreign = whole.clone();
        for (_, metadata) in foreign.values_mut() {
            metadata.clear();
        }
        place.topic.commit(&group("lost-foreign"), &foreign)?;
        let mut newer = whole.clone();
        for (_, metadata) in newer.values_mut() {
            *metadata = metadata.replace("outrigger 1", "outrigger 2");
        }
        place.topic.commit(&group("lost-newer"), &newer)?;
        let mut partial = whole.clone();
        partial.remove(&Partition(1));
        place.topic.commit(&group("lost-partial"), &partial)?;
        for (name, why) in [
            ("lost-foreign", "was not committed by a node"),
            ("lost-newer", "was not committed by a node"),
            ("lost-partial", "in some partitions only"),
        ] {
            is_lost(&node, name, why).await?;
            ensure!(listed_as_lost(&store, name).await?, "{name} is not among the lost");
            // What is lost holds nobody up.
            store.cursor(name).commit(&point).await?;
            ensure!(store.cursor(name).get().await?.point.as_ref() == Some(&point));
        }
        Ok(())
    })
}

#[test]
fn a_cursor_of_a_topic_that_was_deleted_is_lost_and_may_be_committed_anew() -> Result<()> {
    run(async {
        let place = Place::new("cursor-deleted", TopicSpec::store())?;
        let mut node = place.ready_node("one").await?;
        let store = node.store().await?;
        let old =
            point_behind(&node, &put(&store, ["a".to_owned(), "b".to_owned()]).await?).await?;
        store.cursor("deleted").commit(&old).await?;
        let committed = place.topic.committed(&group("deleted"))?;
        node.kill()?;
        place.topic.delete()?;
        place.topic.create_again()?;
        // Kafka forgets offsets with their topic, a little later: this is what it has until then.
        place.topic.commit(&group("deleted"), &committed)?;

        let new = place.ready_node("new").await?;
        is_lost(&new, "deleted", "of another topic").await?;
        let store = new.store().await?;
        let refused = store.cursor("deleted").commit(&old).await.err().context("an old point")?;
        ensure!(refused.kind() == ErrorKind::Compacted, "{refused}");
        let point = point_behind(&new, &put(&store, ["c".to_owned()]).await?).await?;
        store.cursor("deleted").commit(&point).await?;
        ensure!(store.cursor("deleted").get().await?.point == Some(point));
        Ok(())
    })
}

#[test]
fn a_group_that_has_members_is_left_alone() -> Result<()> {
    run(async {
        let place = Place::new("cursor-in-use", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let store = node.store().await?;
        let point = point_behind(&node, &put(&store, ["a".to_owned()]).await?).await?;
        let cursor = store.cursor("in-use");
        cursor.commit(&point).await?;
        let member = place.topic.join(&group("in-use"))?;
        for refused in [cursor.commit(&point).await, cursor.delete().await] {
            let refused = refused.err().context("it has a member")?;
            ensure!(refused.reason() == Some(Reason::CursorInUse), "{refused}");
            ensure!(refused.to_string().contains(&group("in-use")), "{refused}");
        }
        drop(member);
        Ok(())
    })
}
