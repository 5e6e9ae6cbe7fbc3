//! A copy from a peer instead of the log: whole, resumed, refused, and given up for the log.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use outrigger_client::StoreStatus;
use outrigger_client::proto::v1::{Digest, PeerTransfer, Phase, StallKind};
use outrigger_core::offset::{Offset, Partition};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, STORE};
use outrigger_tests::writers::rows;
use serde_json::Value;

use super::{MINUTE, Place, durable, has_stall, refused, run};

const P0: Partition = Partition(0);

/// This many records are enough for a peer to be asked (`Limits::peer_offsets_min`).
const RECORDS: u64 = 12_000;
const KEYS: u64 = 10_000;
const MIB: u64 = 1 << 20;

pub(crate) const SECRET: &str = "of-all-nodes-of-the-test";

/// At this rate a copy of [`fill`]'s rows takes ten seconds.
pub(crate) const SLOW: [&str; 2] = ["--peer-rate", "1MiB"];

impl Place {
    /// Writes some 10 MB that do not shrink, with overwritten and deleted keys.
    pub(crate) fn fill(&self) -> Result<()> {
        let keys: Vec<String> =
            (0..RECORDS).map(|offset| format!("key {}", offset % KEYS)).collect();
        let values: Vec<Vec<u8>> = (0..RECORDS).map(noise).collect();
        let value = |offset: usize| (offset % 100 != 99).then_some(&values[offset][..]);
        let records = keys.iter().enumerate().map(|(at, key)| (P0, key.as_bytes(), value(at)));
        self.topic.put_all(records)?;
        Ok(())
    }

    pub(crate) fn secret(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// A node that knows the secret and logs what [`told`] reads.
    pub(crate) fn peer(&self, name: &str, args: &[&str]) -> Result<Node> {
        let secret = self.secret("secret", SECRET)?;
        Ok(self.node(name)?.with_args(&with_secret(&secret)?).with_args(args))
    }

    /// A READY node that gives, with everything in the topic on disk.
    pub(crate) async fn giver(&self, args: &[&str]) -> Result<Node> {
        self.another_giver("giver", args).await
    }

    pub(crate) async fn another_giver(&self, name: &str, args: &[&str]) -> Result<Node> {
        let mut node = self.peer(name, args)?;
        node.start().await?;
        on_disk(&node, self.topic.ends(P0)?.1).await?;
        Ok(node)
    }

    /// A node that takes, on an empty disk, not started.
    pub(crate) fn taker(&self, giver: &Node) -> Result<Node> {
        self.peer("taker", &["--peers", &giver.url()])
    }
}

fn with_secret(path: &std::path::Path) -> Result<[&str; 4]> {
    Ok(["--log-format", "json", "--peer-secret-file", path.to_str().context("a path of text")?])
}

/// A kilobyte that no compression makes smaller.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..128).flat_map(|_| next()).collect()
}

async fn on_disk(node: &Node, end: Offset) -> Result<()> {
    node.until_ready().await?;
    node.until("on disk", MINUTE, |status| durable(status) >= end.0).await?;
    Ok(())
}

/// What a node logged since its last start under this message.
fn told(node: &Node, message: &str) -> Result<Vec<Value>> {
    let log = node.log();
    let lines = log.lines().filter(|line| line.contains(message));
    lines.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn number(fields: &Value, name: &str) -> Result<u64> {
    fields[name].as_u64().with_context(|| format!("{name} in {fields}"))
}

fn transfer(status: &StoreStatus) -> Option<&PeerTransfer> {
    status.restore.as_ref()?.from_peer.as_ref()
}

/// Waits until this much of the copy has come, and not all.
pub(crate) async fn midway(node: &Node, bytes: u64) -> Result<()> {
    let came =
        |status: &StoreStatus| transfer(status).is_some_and(|transfer| transfer.bytes >= bytes);
    let status = node.until("part of the copy", MINUTE, came).await?;
    let transfer = transfer(&status).context("it was there")?;
    ensure!(transfer.bytes < transfer.bytes_total, "it was not met in the middle: {transfer:?}");
    Ok(())
}

/// The digest at the log's end.
async fn digest(node: &Node, end: Offset) -> Result<Digest> {
    let position =
        |status: &StoreStatus| status.partitions.first().map_or(0, |first| first.position);
    let there = |status: &StoreStatus| status.phase() == Phase::Ready && position(status) >= end.0;
    node.until("READY at the log's end", MINUTE * 2, there).await?;
    let status = node.store().await?.status_with_digest().await?;
    status.digest.context("a READY node has a digest")
}

async fn same(place: &Place, one: &Node, other: &Node) -> Result<()> {
    let end = place.topic.ends(P0)?.1;
    let (mine, theirs) = (digest(one, end).await?, digest(other, end).await?);
    ensure!(mine == theirs, "{mine:?} is not {theirs:?}\n{}", other.log());
    Ok(())
}

/// Checks that it read on from a peer's copy, and not the log from its start.
fn came_from(node: &Node, giver: &Node) -> Result<()> {
    let gave = told(node, "a peer gave its copy")?;
    ensure!(gave.len() == 1 && gave[0]["peer"] == giver.url(), "{gave:?}\n{}", node.log());
    let restores = told(node, "RESTORING")?;
    let causes: Vec<_> = restores.iter().map(|restore| &restore["cause"]).collect();
    ensure!(causes.last().is_some_and(|cause| *cause == "unfinished rebuild"), "{causes:?}");
    Ok(())
}

/// Checks that it asked a peer, which gave nothing because of this, and read the log.
fn fell_back(node: &Node, because: &str) -> Result<()> {
    let failed = told(node, "no peer gave a copy")?;
    let why = failed.first().context("it is told")?["why"].as_str().unwrap_or_default().to_owned();
    ensure!(failed.len() == 1 && why.contains(because), "{because:?} is not in {why:?}");
    ensure!(told(node, "a peer gave its copy")?.is_empty(), "{}", node.log());
    let left = left(node, "fetching-")?;
    ensure!(left.is_empty(), "what is of no use any more is gone: {left:?}");
    Ok(())
}

/// Checks that Status and a refused write have the reason why no peer gave its copy, what to do about it, and no
/// secret.
async fn says_why(node: &Node, because: &str) -> Result<()> {
    let refused = node.store().await?.put("k", "v").await.err().context("a refusal")?.to_string();
    let text = String::from_utf8(node.ask("status", &[])?.stdout)?;
    for told in [&refused, &text] {
        ensure!(told.contains(because) && told.contains("mend what keeps the peers"), "{told}");
        ensure!(!told.contains("configure a node"), "it has peers: {told}");
        ensure!(!told.contains(SECRET) && !told.contains("another-secret"), "{told}");
    }
    Ok(())
}

/// Changes a byte in the middle of each of its files of rows.
fn rot(node: &Node) -> Result<()> {
    for entry in fs::read_dir(node.data().join(STORE).join("g1"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            let mut bytes = fs::read(&path)?;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes)?;
        }
    }
    Ok(())
}

/// What is in the store's directory under names that begin so.
fn left(node: &Node, prefix: &str) -> Result<Vec<String>> {
    let names = fs::read_dir(node.data().join(STORE))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<Result<_>>()?;
    Ok(names.into_iter().filter(|name| name.starts_with(prefix)).collect())
}

#[test]
fn a_wiped_node_is_ready_from_its_peer_and_says_so() -> Result<()> {
    run(async {
        let place = Place::new("peer", TopicSpec::store())?;
        place.fill()?;
        let giver = place.giver(&["--peer-rate", "4MiB"]).await?;
        let mut taker = place.taker(&giver)?;
        taker.start().await?;
        midway(&taker, MIB).await?;
        let status = taker.status().await?;
        let from = transfer(&status).context("it says from whom")?;
        ensure!(from.peer == giver.url(), "{from:?}");
        // Only the log has these.
        let store = giver.store().await?;
        store.put("key 1", "of the log").await?;
        store.delete("key 2").await?;
        same(&place, &giver, &taker).await?;
        came_from(&taker, &giver)?;
        let row = taker.store().await?.get("key 1").await?.context("a row")?;
        ensure!(&row.value[..] == b"of the log");

        taker.kill()?;
        taker.wipe()?;
        taker.start().await?;
        same(&place, &giver, &taker).await?;
        came_from(&taker, &giver)?;
        ensure!(taker.stop()?.success());
        let log = taker.log();
        let (_, after) = log.split_once("draining; another signal").context("it is told")?;
        ensure!(after.contains("closing") && !after.contains("OPENING"), "{after}");
        taker.start().await?;
        same(&place, &giver, &taker).await?;
        ensure!(told(&taker, "a peer gave its copy")?.is_empty(), "it has one");
        ensure!(told(&giver, "gave its copy to a peer")?.len() == 2);
        Ok(())
    })
}

#[test]
fn a_taker_that_ends_in_the_middle_goes_on_and_is_not_sent_everything_again() -> Result<()> {
    run(async {
        let place = Place::new("peer-resumed", TopicSpec::store())?;
        place.fill()?;
        let giver = place.giver(&SLOW).await?;
        let mut taker = place.taker(&giver)?;
        taker.start().await?;
        midway(&taker, 2 * MIB).await?;
        ensure!(taker.stop()?.success(), "a drain ends a transfer:\n{}", taker.log());
        taker.start().await?;
        midway(&taker, 5 * MIB).await?;
        taker.kill()?;
        taker.start().await?;
        same(&place, &giver, &taker).await?;
        came_from(&taker, &giver)?;

        let went_on = told(&taker, "goes on with a copy that broke off")?;
        ensure!(went_on.len() == 1 && number(&went_on[0], "bytes")? >= 2 * MIB, "{went_on:?}");
        let gave = told(&giver, "gives its copy to a peer")?;
        ensure!(gave.len() == 3, "{gave:?}");
        ensure!(gave.iter().all(|each| each["checkpoint"] == gave[0]["checkpoint"]), "{gave:?}");
        let left = [number(&gave[1], "left")?, number(&gave[2], "left")?];
        let all = number(&gave[0], "bytes")?;
        ensure!(left[0] + MIB <= all && left[1] + 2 * MIB <= all, "{left:?} of {all}");
        Ok(())
    })
}

#[test]
fn a_giver_that_is_killed_in_the_middle_leaves_the_log() -> Result<()> {
    run(async {
        let place = Place::new("peer-killed", TopicSpec::store())?;
        place.fill()?;
        let mut giver = place.giver(&SLOW).await?;
        let mut taker = place.taker(&giver)?;
        taker.start().await?;
        midway(&taker, 2 * MIB).await?;
        giver.kill()?;
        taker.until_ready().await?;
        fell_back(&taker, "it cannot be reached")?;
        giver.start().await?;
        same(&place, &giver, &taker).await?;
        let left = left(&giver, "giving-")?;
        ensure!(left.is_empty(), "its checkpoint goes with its next start: {left:?}");
        Ok(())
    })
}

#[test]
fn a_wrong_secret_is_refused_and_the_log_is_read() -> Result<()> {
    run(async {
        let place = Place::new("peer-secret", TopicSpec::store())?;
        place.fill()?;
        let giver = place.giver(&[]).await?;
        let other = place.secret("other", "another-secret-of-others")?;
        let peers = ["--peers", &giver.url()];
        let mut taker = place.node("taker")?.with_args(&with_secret(&other)?).with_args(&peers);
        taker.start().await?;
        same(&place, &giver, &taker).await?;
        fell_back(&taker, "PermissionDenied: the peer secret is another")?;
        ensure!(!told(&giver, "as a peer with a wrong secret")?.is_empty(), "{}", giver.log());
        ensure!(told(&giver, "gives its copy to a peer")?.is_empty(), "{}", giver.log());
        for text in [giver.log(), taker.log()] {
            ensure!(!text.contains(SECRET) && !text.contains("another-secret"), "{text}");
        }
        Ok(())
    })
}

#[test]
fn a_peer_of_another_topic_is_not_taken() -> Result<()> {
    run(async {
        let place = Place::new("peer-foreign", TopicSpec::store())?;
        place.fill()?;
        let giver = place.giver(&[]).await?;
        let other = Place::new("peer-own", TopicSpec::store())?;
        let keys: Vec<String> = (0..RECORDS).map(|number| format!("own {number}")).collect();
        other.topic.put_all(keys.iter().map(|key| (P0, key.as_bytes(), Some(&b"1"[..]))))?;
        let mut taker = other.taker(&giver)?;
        taker.start().await?;
        taker.until_ready().await?;
        fell_back(&taker, "its copy belongs to")?;
        let rows = rows(&taker).await?;
        ensure!(rows.len() == keys.len(), "{} rows", rows.len());
        ensure!(rows.keys().all(|key| key.starts_with(b"own ")), "rows of the other topic");
        Ok(())
    })
}

/// The peer accepts connections, as a process that is paused or a proxy with nothing behind it does.
#[test]
fn a_peer_that_says_nothing_is_named_and_left_for_the_log() -> Result<()> {
    run(async {
        let place = Place::new("peer-silent", TopicSpec::store())?;
        place.fill()?;
        let silent = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", silent.local_addr()?);
        let mut taker = place.peer("taker", &["--peers", &url])?;
        let plan = String::from_utf8(taker.look("plan")?.stdout)?;
        ensure!(plan.contains("peers are asked first"), "{plan}");
        taker.start().await?;
        let named = |status: &StoreStatus| has_stall(status, StallKind::PeerSilent);
        taker.until("the stall has a name", MINUTE, named).await?;
        let status = taker.until_ready().await?;
        ensure!(status.stalls.is_empty(), "{status:?}");
        fell_back(&taker, &url)?;
        ensure!(rows(&taker).await?.len() > 9_000);
        Ok(())
    })
}

#[test]
fn where_the_log_lost_its_beginning_a_peer_helps_and_nothing_else() -> Result<()> {
    run(async {
        let place = Place::new("peer-deleted", TopicSpec::store())?;
        place.fill()?;
        let mut giver = place.giver(&["--peer-rate", "4MiB"]).await?;
        let mut taker = place.taker(&giver)?;
        taker.start().await?;
        taker.until_ready().await?;
        taker.kill()?;
        taker.wipe()?;
        place.topic.delete_records(P0, Offset(3_000))?;
        ensure!(giver.stop()?.success());

        let mut alone = place.node("taker")?;
        alone.start().await?;
        alone.until("refused", MINUTE, refused).await?;
        alone.kill()?;

        let plan = String::from_utf8(taker.look("plan")?.stdout)?;
        ensure!(plan.contains("unless a READY peer gives its copy"), "{plan}");
        ensure!(!plan.contains("configure a node"), "it has peers: {plan}");
        taker.start().await?;
        let nobody =
            |status: &StoreStatus| refused(status) && taker.log().contains("no peer gave a copy");
        taker.until("refused, and nobody gives", MINUTE, nobody).await?;
        let why = format!("no peer gave a copy: {}: it cannot be reached", giver.url());
        says_why(&taker, &why).await?;
        giver.start().await?;
        on_disk(&giver, place.topic.ends(P0)?.1).await?;
        let other = place.secret("other", "another-secret-of-others")?;
        let peers = ["--peers", &giver.url()];
        let mut stranger =
            place.node("stranger")?.with_args(&with_secret(&other)?).with_args(&peers);
        stranger.start().await?;
        let failed = |status: &StoreStatus| {
            let detail = status.cause.as_ref().map(|cause| cause.detail.as_str());
            refused(status) && detail.is_some_and(|detail| detail.contains("no peer gave"))
        };
        let comes = |status: &StoreStatus| refused(status) && transfer(status).is_some();
        // The copy may be all there before the stranger has heard its answer.
        let (strange, came) = tokio::join!(
            stranger.until("refused, and why", MINUTE, failed),
            taker.until("refused, and the copy comes", MINUTE, comes)
        );
        strange?;
        came?;
        says_why(&stranger, "PermissionDenied: the peer secret is another").await?;
        stranger.kill()?;
        same(&place, &giver, &taker).await?;
        came_from(&taker, &giver)?;
        let row = taker.store().await?.get("key 2500").await?.context("a row")?;
        ensure!(row.revision.offset == 2_500, "the log does not have it: {row:?}");
        taker.kill()?;
        taker.start().await?;
        same(&place, &giver, &taker).await?;
        ensure!(rows(&taker).await? == rows(&giver).await?);
        Ok(())
    })
}

/// The peer does not know that its copy is rotten: nobody has read there.
#[test]
fn a_rotten_copy_from_one_peer_is_replaced_by_another_peers() -> Result<()> {
    run(async {
        let place = Place::new("peer-rotten", TopicSpec::store())?;
        place.fill()?;
        let rotten = place.giver(&[]).await?;
        let sound = place.another_giver("sound", &[]).await?;
        place.topic.delete_records(P0, Offset(3_000))?;
        rot(&rotten)?;
        let peers = [rotten.url(), sound.url()].join(",");
        let mut taker = place.peer("taker", &["--peers", &peers])?;
        taker.start().await?;
        taker.until_ready().await?;
        // Where the node did not meet the damage while it restored, it meets it now.
        let _met = rows(&taker).await;
        same(&place, &sound, &taker).await?;
        let gave = told(&taker, "a peer gave its copy")?;
        let gave: Vec<_> = gave.iter().map(|gave| &gave["peer"]).collect();
        ensure!(gave == [&rotten.url(), &sound.url()], "{gave:?}");
        ensure!(rows(&taker).await? == rows(&sound).await?);
        Ok(())
    })
}
