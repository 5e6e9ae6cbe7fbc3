//! A cache of the client beside real nodes: it is what the log says, and shows no ghost, whatever becomes of its node.

use std::string::FromUtf8Error;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_client::{Cache, CacheError, Level, Scan, Store, Watch};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::Node;
use outrigger_tests::writers::{self, Writers};
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::{MINUTE, POLL, Place, run};

const PREFIX: &str = "writer-0/";

fn text(_key: &[u8], value: &[u8]) -> Result<String, FromUtf8Error> {
    String::from_utf8(value.to_vec())
}

async fn cache(node: &Node) -> Result<Cache<String>> {
    let store = node.store().await?.with_read_deadline(2 * MINUTE);
    Ok(store.cache(Watch::prefix(PREFIX), text).await?)
}

/// Waits until the cache has what the session has written.
async fn catch_up(cache: &Cache<String>, writer: &Store) -> Result<()> {
    Ok(cache.reached(&writer.token().context("it wrote")?).await?)
}

fn shown(cache: &Cache<String>, key: &str) -> Result<Option<String>> {
    Ok(cache.get(key)?.map(|value| value.to_string()))
}

async fn until_interrupted(cache: &Cache<String>) -> Result<()> {
    let deadline = Instant::now() + MINUTE;
    while cache.interrupted().is_none() {
        ensure!(Instant::now() < deadline, "the node was killed");
        sleep(POLL).await;
    }
    Ok(())
}

#[test]
fn what_was_written_is_in_a_cache_that_has_reached_its_token() -> Result<()> {
    run(async {
        let place = Place::new("cache", TopicSpec::store().partitions(3))?;
        let one = place.ready_node("one").await?;
        let other = place.ready_node("other").await?;
        let writer = other.store().await?;
        let mut cache = cache(&one).await?;
        for number in 0..50 {
            let key = format!("{PREFIX}{}", number % 7);
            let value = (number % 5 < 4).then(|| number.to_string());
            match &value {
                Some(value) => writer.put(&key, value).await?,
                None => writer.delete(&key).await?,
            };
            catch_up(&cache, &writer).await?;
            ensure!(shown(&cache, &key)? == value, "{key} is not {value:?}");
            cache.changed().await?;
        }
        // A token about other keys is reached, too.
        writer.put("elsewhere", "1").await?;
        catch_up(&cache, &writer).await?;
        ensure!(shown(&cache, "elsewhere")?.is_none(), "it is not among its keys");
        ensure!(cache.age() < MINUTE, "{:?}", cache.age());

        writer.put(format!("{PREFIX}bytes"), b"\xff").await?;
        let told = cache.changed().await;
        ensure!(matches!(told, Err(CacheError::Undecodable(_))), "{told:?}");
        Ok(())
    })
}

#[test]
fn a_cache_is_what_a_scan_says_over_crashes_and_wiped_disks_and_has_no_ghost() -> Result<()> {
    run(async {
        let spec = TopicSpec::fast_compaction().partitions(3).set("delete.retention.ms", "30000");
        let place = Place::new("cache-chaos", spec)?;
        let mut one = place.ready_node("one").await?;
        let other = place.ready_node("other").await?;
        let (marks, here) = (other.store().await?, cache(&one).await?);
        let beside = cache(&other).await?;
        let writers = Writers::start(vec![other.url()], 40);
        for round in 0..4 {
            let [goes, comes] = ["goes", "comes"].map(|name| format!("{PREFIX}{name} {round}"));
            marks.put(&goes, "here").await?;
            catch_up(&here, &marks).await?;
            let before = here.snapshot();
            one.kill()?;
            if round % 2 == 1 {
                one.wipe()?;
            }
            until_interrupted(&here).await?;
            marks.delete(&goes).await?;
            marks.put(&comes, "there").await?;
            ensure!(shown(&here, &goes)?.as_deref() == Some("here"), "it is as it was");
            one.start().await?;
            catch_up(&here, &marks).await?;
            ensure!(shown(&here, &goes)?.is_none(), "a ghost");
            ensure!(shown(&here, &comes)?.as_deref() == Some("there"));
            ensure!(before.get(&goes).ok().flatten().is_some(), "a snapshot stays as it is");
        }
        writers.stop().await?;
        marks.put("the last one", "1").await?;

        let mut whole = block_in_place(|| writers::fold(&place.topic))?;
        whole.retain(|key, _| key.starts_with(PREFIX.as_bytes()));
        let mut scanned = Vec::new();
        let latest = marks.clone().with_level(Level::Latest);
        let mut rows = latest.scan(Scan::prefix(PREFIX)).await?;
        while let Some(row) = rows.next().await {
            let row = row?;
            scanned.push((row.key.to_vec(), row.value.to_vec()));
        }
        ensure!(whole.len() == scanned.len() && !scanned.is_empty(), "{}", scanned.len());
        for cache in [&here, &beside] {
            catch_up(cache, &marks).await?;
            let snapshot = cache.snapshot();
            let rows =
                snapshot.iter().map(|(key, value)| Ok((key.to_vec(), value?.clone().into_bytes())));
            let rows: Vec<_> = rows.collect::<Result<_, CacheError>>()?;
            ensure!(rows == scanned, "{rows:?} instead of {scanned:?}");
            let folded = whole.iter().map(|(key, row)| (key, &row.value));
            ensure!(
                folded.eq(rows.iter().map(|(key, value)| (key, value))),
                "not what the log says"
            );
            ensure!(cache.interrupted().is_none(), "it goes on");
        }
        Ok(())
    })
}
