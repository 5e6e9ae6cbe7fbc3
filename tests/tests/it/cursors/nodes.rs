//! Committed on one node and continued on another.

use anyhow::{Context, Result, ensure};
use outrigger_client::{ErrorKind, Reason, Watch, WatchPoint};
use outrigger_core::offset::Partition;
use outrigger_proto::v1;
use outrigger_tests::follower::Followed;
use outrigger_tests::kafka::{Cluster, TopicSpec};

use super::{followed, group, point_behind, put};
use crate::e2e::{Place, run};
use crate::site::text;

#[test]
fn a_cursor_is_gone_on_from_on_another_node_when_its_own_is_gone() -> Result<()> {
    run(async {
        let place = Place::new("cursor-moves", TopicSpec::store().partitions(3))?;
        let mut one = place.ready_node("one").await?;
        let other = place.ready_node("other").await?;
        let writer = other.store().await?;
        let first = put(&writer, (0..50).map(|number| format!("key {number}"))).await?;
        let before = followed(&one, Watch::all(), Followed::default(), &first).await?;
        let point = before.point.clone().context("it was told one")?;
        one.store().await?.cursor("mover").commit(&point).await?;
        one.kill()?;
        one.wipe()?;

        let second = put(&writer, (0..30).map(|number| format!("key {number}"))).await?;
        let store = other.store().await?;
        let got = store.cursor("mover").get().await?;
        ensure!(got.point.as_ref() == Some(&point), "{got:?}");
        ensure!(got.behind_records >= Some(30) && got.lost.is_none(), "{got:?}");

        // The follower has what came before, and no point: the cursor has it.
        let kept = Followed { point: None, ..before.clone() };
        let watch = Watch::all().from_cursor("mover").fail_when_lost();
        let after = followed(&other, watch, kept, &second).await?;
        ensure!(after.again == 0, "the cursor was good");
        let new: Vec<_> = after.changes.difference(&before.changes).copied().collect();
        let mut expected: Vec<_> = second.iter().map(|at| (at.partition, at.offset)).collect();
        expected.sort_unstable();
        ensure!(new == expected, "each change once and nothing else: {new:?}");
        let point = after.point.context("it was told one")?;
        store.cursor("mover").commit(&point).await?;
        ensure!(store.cursor("mover").get().await?.behind_records == Some(0));
        Ok(())
    })
}

#[test]
fn kafkas_own_tools_see_the_offsets_and_a_deleted_cursor_is_gone() -> Result<()> {
    run(async {
        let place = Place::new("cursor-seen", TopicSpec::store().partitions(3))?;
        let node = place.ready_node("one").await?;
        let store = node.store().await?;
        let first = put(&store, (0..20).map(|number| format!("key {number}"))).await?;
        let point = point_behind(&node, &first).await?;
        let cursor = store.cursor("seen");
        // Whether there is one or not.
        cursor.delete().await?;
        cursor.commit(&point).await?;
        let committed = place.topic.committed(&group("seen"))?;
        ensure!(committed.len() == 3, "{committed:?}");
        for partition in Partition::all(3) {
            let (offset, metadata) = &committed[&partition];
            ensure!(offset.0 == point.token().position(partition.0), "{committed:?}");
            ensure!(metadata.starts_with("outrigger 1 topic="), "{metadata}");
        }
        let groups = || Cluster::shared()?.groups();
        ensure!(groups()?.contains(&group("seen")));

        let (listed, more) = store.cursors().await?;
        let names: Vec<_> = listed.iter().map(|cursor| cursor.name.as_str()).collect();
        ensure!(names.contains(&"seen") && !more, "{names:?}");
        for _ in 0..2 {
            cursor.delete().await?;
        }
        let committed = place.topic.committed(&group("seen"))?;
        ensure!(committed.is_empty(), "{committed:?}");
        ensure!(cursor.get().await.is_err_and(|error| error.kind() == ErrorKind::Compacted));
        Ok(())
    })
}

/// The same point, ahead of the log in partition 0.
fn ahead(point: &WatchPoint) -> Result<WatchPoint> {
    let mut point = v1::WatchPoint::from(point);
    let positions = &mut point.token.as_mut().context("it has one")?.positions;
    for at in positions.iter_mut().filter(|at| at.partition == 0) {
        at.position += 1_000;
    }
    Ok(WatchPoint::try_from(point)?)
}

#[test]
fn a_point_that_goes_back_or_is_ahead_of_the_log_is_refused_by_name() -> Result<()> {
    run(async {
        let place = Place::new("cursor-back", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let store = node.store().await?;
        let first = point_behind(&node, &put(&store, ["a".to_owned()]).await?).await?;
        let second = point_behind(&node, &put(&store, ["b".to_owned()]).await?).await?;
        let cursor = store.cursor("back");
        for point in [&first, &second, &second] {
            cursor.commit(point).await?;
        }
        let back = cursor.commit(&first).await.err().context("it goes back")?;
        ensure!(back.reason() == Some(Reason::CursorGoesBack), "{back}");
        ensure!(!back.may_have_happened(), "{back}");
        let told = format!("already at {}", second.token().position(0));
        ensure!(back.to_string().contains(&told), "{back}");
        ensure!(cursor.get().await?.point == Some(second.clone()), "nothing was committed");
        let beyond = cursor.commit(&ahead(&second)?).await.err().context("it is ahead")?;
        ensure!(matches!(beyond.kind(), ErrorKind::Deadline | ErrorKind::Compacted), "{beyond:?}");
        ensure!(cursor.get().await?.point == Some(second), "nothing was committed");
        for wrong in ["", "a b", &"x".repeat(129)] {
            let error = store.cursor(wrong).commit(&first).await.err().context("a wrong name")?;
            ensure!(error.reason() == Some(Reason::InvalidRequest), "{error}");
        }
        Ok(())
    })
}

#[test]
fn commands_commit_show_and_delete_cursors() -> Result<()> {
    run(async {
        let place = Place::new("cursor-commands", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let store = node.store().await?;
        let point = point_behind(&node, &put(&store, ["a".to_owned()]).await?).await?;
        let hex: String = point.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let unknown = node.ask("cursor", &["get", "command"])?;
        ensure!(unknown.status.code() == Some(1), "{}", text(&unknown));
        let committed = node.ask("cursor", &["commit", "command", &hex])?;
        ensure!(committed.status.success(), "{}", text(&committed));
        let got = node.ask("cursor", &["get", "command"])?;
        ensure!(String::from_utf8_lossy(&got.stdout).trim() == hex, "{}", text(&got));
        let listed = node.ask("cursor", &["list"])?;
        let is_it = |line: &str| line.starts_with("command\t0\t");
        ensure!(text(&listed).lines().any(is_it), "{}", text(&listed));
        let json = node.ask("cursor", &["list", "--json"])?;
        ensure!(text(&json).contains("{\"name\":\"command\",\"point\":\""), "{}", text(&json));
        let deleted = node.ask("cursor", &["delete", "command"])?;
        ensure!(deleted.status.success(), "{}", text(&deleted));
        let lost = node.ask("watch", &["--from", "cursor:command", "--fail-when-lost"])?;
        ensure!(lost.status.code() == Some(1), "{}", text(&lost));
        ensure!(text(&lost).contains("REASON_COMPACTED"), "{}", text(&lost));
        Ok(())
    })
}
