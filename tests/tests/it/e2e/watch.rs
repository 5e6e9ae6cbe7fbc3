//! Watches on real Kafka: what is told folds to what the log says, over crashes, wiped disks and other nodes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::{Entry, ErrorKind, Level, Revision, Store, Watch, WatchEvent};
use outrigger_tests::follower::{Followed, Follower};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::Node;
use outrigger_tests::writers::{self, Writers, rows};
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::{MINUTE, Place, run};

/// How often a point is tried that is not old enough yet.
const POLL: Duration = Duration::from_millis(100);

fn from_state() -> Followed {
    Followed::default()
}

async fn put(store: &Store, keys: impl IntoIterator<Item = String>) -> Result<Vec<Revision>> {
    let mut revisions = Vec::new();
    for key in keys {
        revisions.push(store.put(&key, format!("value of {key}")).await?);
    }
    Ok(revisions)
}

fn changes(revisions: &[Revision]) -> BTreeSet<(u32, u64)> {
    revisions.iter().map(|at| (at.partition, at.offset)).collect()
}

#[test]
fn a_watch_tells_the_state_and_then_each_change_which_reads_beside_it_find() -> Result<()> {
    run(async {
        let place = Place::new("watch", TopicSpec::store().partitions(3))?;
        let one = place.ready_node("one").await?;
        let other = place.ready_node("other").await?;
        let writer = other.store().await?;
        let before = put(&writer, (0..20).map(|number| format!("a/{number}"))).await?;
        put(&writer, ["b/1".to_owned()]).await?;

        let store = one.store().await?;
        store.resume(writer.token().context("it wrote")?)?;
        let mut events = store.watch(Watch::prefix("a/").or(Watch::key("a/3"))).await?;
        let mut state = BTreeSet::new();
        loop {
            match events.next().await.context("it goes on")?? {
                WatchEvent::Row(row) => {
                    ensure!(state.insert((row.revision.partition, row.revision.offset)));
                }
                WatchEvent::StateEnd(_) => break,
                event => anyhow::bail!("{event:?}"),
            }
        }
        ensure!(state == changes(&before), "{state:?}");

        put(&writer, ["b/2".to_owned(), "c".to_owned()]).await?;
        let local = one.store().await?.with_level(Level::Local);
        for number in 0..50 {
            let key = format!("a/{}", number % 7);
            let revision = match number % 5 {
                4 => writer.delete(&key).await?,
                _ => writer.put(&key, number.to_string()).await?,
            };
            let change = loop {
                match events.next().await.context("it goes on")?? {
                    WatchEvent::Change(change) => break change,
                    WatchEvent::Point(_) => {}
                    event => anyhow::bail!("{event:?}"),
                }
            };
            ensure!(change.revision == revision && change.key == key, "{change:?} {revision:?}");
            // Nobody else writes: a read without a token finds it.
            let found = local.get(&key).await?;
            ensure!(found.map(|Entry { value, .. }| value) == change.value, "{change:?}");
        }
        Ok(())
    })
}

#[test]
fn a_kept_point_goes_on_at_another_node_and_at_one_that_was_killed() -> Result<()> {
    run(async {
        let place = Place::new("watch-resumes", TopicSpec::store().partitions(3))?;
        let mut one = place.ready_node("one").await?;
        let other = place.ready_node("other").await?;
        let writer = other.store().await?;
        let first = put(&writer, (0..50).map(|number| format!("key {number}"))).await?;
        let mut follower = Follower::start(one.url(), Watch::all(), from_state()).await?;
        follower.has(&first).await?;
        let kept = follower.stop().await?;
        one.kill()?;

        let second = put(&writer, (0..30).map(|number| format!("key {number}"))).await?;
        let mut follower = Follower::start(other.url(), Watch::all(), kept.clone()).await?;
        follower.has(&second).await?;
        let kept_elsewhere = follower.stop().await?;
        ensure!(kept_elsewhere.again == 0, "the point was good");
        let new: BTreeSet<_> = kept_elsewhere.changes.difference(&kept.changes).copied().collect();
        ensure!(new == changes(&second), "each change once and nothing else: {new:?}");

        one.start().await?;
        one.until_ready().await?;
        let mut follower = Follower::start(one.url(), Watch::all(), kept).await?;
        follower.has(&second).await?;
        let back = follower.stop().await?;
        ensure!(back.again == 0, "the point is good there, too");
        ensure!(back.rows == rows(&one).await? && back.rows == kept_elsewhere.rows, "{back:?}");
        Ok(())
    })
}

#[test]
fn a_watch_that_nobody_polls_while_its_node_is_away_goes_on() -> Result<()> {
    run(async {
        let place = Place::new("watch-unpolled", TopicSpec::store())?;
        let mut node = place.ready_node("one").await?;
        let mut events = node.store().await?.watch(Watch::all().from_now()).await?;
        node.kill()?;
        node.start().await?;
        node.until_ready().await?;
        let written = node.store().await?.put("key", "value").await?;
        loop {
            let event = timeout(MINUTE, events.next()).await.context("it goes on")?;
            match event.context("a watch has no end")?? {
                WatchEvent::Change(change) => {
                    ensure!(change.revision == written, "{change:?}");
                    return Ok(());
                }
                WatchEvent::Point(_) | WatchEvent::Interrupted(_) => {}
                event => anyhow::bail!("{event:?}"),
            }
        }
    })
}

/// Writes more than a node keeps in memory for watches.
async fn put_much(store: &Store) -> Result<Vec<Revision>> {
    let writer = store.writer();
    let mut open = Vec::new();
    for number in 0..20 {
        open.push(writer.put(format!("large {number}"), vec![b'x'; 900_000]).await?);
    }
    let mut revisions = Vec::new();
    for write in open {
        revisions.push(write.await?);
    }
    Ok(revisions)
}

#[test]
fn what_memory_has_no_more_the_log_tells() -> Result<()> {
    run(async {
        let place = Place::new("watch-behind", TopicSpec::store().partitions(3))?;
        let mut one = place.ready_node("one").await?;
        let other = place.ready_node("other").await?;
        let store = one.store().await?;
        let first = put(&store, (0..30).map(|number| format!("key {number}"))).await?;
        let mut follower = Follower::start(one.url(), Watch::all(), from_state()).await?;
        follower.has(&first).await?;
        let kept = follower.stop().await?;

        let mut second = vec![store.delete("key 7").await?];
        second.extend(put_much(&store).await?);
        let last = put(&store, (0..30).map(|number| format!("key {number}"))).await?;
        second.extend(&last);
        // A node that was killed has nothing in memory that came before.
        one.kill()?;
        one.start().await?;
        one.until_ready().await?;
        for node in [&one, &other] {
            let mut follower = Follower::start(node.url(), Watch::all(), kept.clone()).await?;
            follower.has(&last).await?;
            let told = follower.stop().await?;
            ensure!(told.again == 0, "the log has all of it");
            let new: BTreeSet<_> = told.changes.difference(&kept.changes).copied().collect();
            ensure!(new == changes(&second), "each change once and nothing else: {new:?}");
            ensure!(told.rows == rows(node).await?, "they fold to the state");
        }
        Ok(())
    })
}

#[test]
fn a_point_that_is_older_than_tombstones_live_is_followed_by_the_state_or_refused_by_name()
-> Result<()> {
    run(async {
        let place = Place::new("watch-lost", TopicSpec::fast_compaction())?;
        let one = place.ready_node("one").await?;
        let store = one.store().await?;
        let first = put(&store, ["a".to_owned(), "b".to_owned()]).await?;
        let mut follower = Follower::start(one.url(), Watch::all(), from_state()).await?;
        follower.has(&first).await?;
        let kept = follower.stop().await?;
        let point = kept.point.clone().context("it was told one")?;

        store.delete("a").await?;
        let last = put_much(&store).await?;
        let deadline = Instant::now() + MINUTE;
        loop {
            let watch = Watch::all().from_point(point.clone()).fail_when_lost();
            let told = match store.watch(watch).await {
                Ok(mut events) => events.next().await.context("a watch has no end")?.err(),
                Err(error) => Some(error),
            };
            if let Some(error) = told {
                ensure!(error.kind() == ErrorKind::Compacted, "{error}");
                break;
            }
            ensure!(Instant::now() < deadline, "its tombstones live on");
            tokio::time::sleep(POLL).await;
        }
        let mut follower = Follower::start(one.url(), Watch::all(), kept).await?;
        follower.has(&last).await?;
        let told = follower.stop().await?;
        ensure!(told.again == 1, "the state came again");
        ensure!(told.rows == rows(&one).await?, "and a deleted key is not in it");
        Ok(())
    })
}

#[test]
fn what_followers_fold_is_what_the_log_says_over_crashes_and_wiped_disks() -> Result<()> {
    run(async {
        let spec = TopicSpec::fast_compaction().partitions(3).set("delete.retention.ms", "30000");
        let place = Place::new("watch-chaos", spec)?;
        let mut nodes = Vec::new();
        for name in ["one", "two", "three"] {
            nodes.push(place.ready_node(name).await?);
        }
        let writers = Writers::start(nodes.iter().map(Node::url).collect(), 40);
        let mut followers = Vec::new();
        for number in 0..9 {
            let watch = if number < 3 { Watch::all() } else { Watch::prefix("writer-1/") };
            let url = nodes[number % 3].url();
            followers.push(Follower::start(url, watch, from_state()).await?);
        }
        let mut mover = Follower::start(nodes[0].url(), Watch::all(), from_state()).await?;
        let marks = nodes[0].store().await?;
        for round in 0..4 {
            let mark = put(&marks, [format!("writer-1/mark {round}")]).await?;
            for follower in &mut followers[..3] {
                follower.has(&mark).await?;
            }
            // It goes to a node that was killed or wiped before, and not to the one that will be.
            mover.has(&mark).await?;
            mover = mover.go_to(nodes[2 - round % 2].url(), Watch::all()).await?;
            mover.has(&put(&marks, [format!("writer-1/moved {round}")]).await?).await?;
            let node = &mut nodes[1 + round % 2];
            node.kill()?;
            if round > 1 {
                node.wipe()?;
            }
            put(&marks, (0..20).map(|number| format!("writer-1/mark {number}"))).await?;
            node.start().await?;
            node.until_ready().await?;
        }
        writers.stop().await?;
        let last = put(&marks, (0..30).map(|number| format!("writer-1/last {number}"))).await?;
        let whole = block_in_place(|| writers::fold(&place.topic))?;
        ensure!(rows(&nodes[0]).await? == whole, "the copy is not what the log says");
        mover.has(&last).await?;
        let moved = mover.stop().await?;
        ensure!(moved.again == 0, "its point was good wherever it came");
        ensure!(moved.rows == whole, "{moved:?}");
        let mut interruptions = 0;
        for (number, mut follower) in followers.into_iter().enumerate() {
            follower.has(&last).await?;
            let followed = follower.stop().await?;
            let mut expected = whole.clone();
            expected.retain(|key, _| number < 3 || key.starts_with(b"writer-1/"));
            ensure!(followed.rows == expected, "follower {number}: {followed:?}");
            interruptions += followed.interruptions;
        }
        ensure!(interruptions > 0, "nodes were killed");
        Ok(())
    })
}
