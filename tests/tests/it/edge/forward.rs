//! Reads of a node whose copy is not READY: a peer answers them, from its first second on, and nobody else is let in by
//! that.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use outrigger_client::proto::v1::{Phase, Reason};
use outrigger_client::{Entry, ErrorKind, Level, Scan, Store, StoreStatus};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, STORE, free_port};

use crate::abuse::metric;
use crate::e2e::peers::{SECRET, SLOW, midway};
use crate::e2e::{MINUTE, Place, run};
use crate::site::until_logged;

const MIB: u64 = 1 << 20;

/// Every level that may be forwarded, in one session each.
const LEVELS: [Level; 3] = [Level::Session, Level::Local, Level::Latest];

/// Returns a handle of the store as soon as somebody listens at the node's address.
pub(super) async fn first_store(node: &Node) -> Result<Store> {
    let deadline = Instant::now() + MINUTE;
    loop {
        match node.store().await {
            Ok(store) => return Ok(store),
            Err(error) => ensure!(Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// A row that the topic has since it was filled, and whose copy it came from.
pub(super) async fn row(store: &Store) -> Result<(Entry, Option<String>)> {
    let read = store.read("key 2500").await?;
    let entry = read.entry.context("the topic has it")?;
    ensure!(entry.revision.offset == 2_500, "{entry:?}");
    Ok((entry, read.copy.given_by))
}

pub(super) async fn first_rows(store: &Store, rows: u64) -> Result<(usize, Option<String>)> {
    let mut scanned = store.scan(Scan::prefix("key 25").limit(rows)).await?;
    let given_by = scanned.copy().given_by.clone();
    let mut count = 0;
    while let Some(row) = scanned.next().await {
        ensure!(row?.key.starts_with(b"key 25"));
        count += 1;
    }
    Ok((count, given_by))
}

/// How many reads the node with these metrics has forwarded, with that outcome.
fn forwarded(metrics: u16, answered: &str) -> Result<f64> {
    let name =
        format!("outrigger_reads_forwarded_total{{store=\"{STORE}\",answered=\"{answered}\"}}");
    Ok(metric(metrics, &name)?.unwrap_or_default())
}

/// Reads at every level and scans, again and again, until the node answers from its own copy. Returns how many were answered
/// by `giver`. Not one of them may fail.
async fn read_until_ready(node: &Node, giver: &Node) -> Result<u32> {
    let store = first_store(node).await?;
    let sessions = LEVELS.map(|level| store.new_session().with_level(level));
    let (mut given, deadline) = (0, Instant::now() + 2 * MINUTE);
    loop {
        ensure!(Instant::now() < deadline, "it is not READY\n{}", node.log());
        let mut own = 0;
        for session in &sessions {
            let read = row(session).await.with_context(|| node.log())?.1;
            let (count, scanned) = first_rows(session, 50).await.with_context(|| node.log())?;
            ensure!(count == 50, "{count} rows");
            for by in [read, scanned] {
                match by {
                    Some(by) if by == giver.url() => given += 1,
                    Some(by) => bail!("{by} is not {}", giver.url()),
                    None => own += 1,
                }
            }
        }
        if own == 2 * LEVELS.len() {
            return Ok(given);
        }
    }
}

#[test]
fn a_wiped_node_answers_every_read_from_its_first_moment_on() -> Result<()> {
    run(async {
        let place = Place::new("forward", TopicSpec::store())?;
        place.fill()?;
        let giver = place.giver(&SLOW).await?;
        let mut taker = place.taker(&giver)?;
        taker.spawn()?;
        let given = read_until_ready(&taker, &giver).await?;
        ensure!(given >= 12, "{given} reads were forwarded while a copy of ten seconds came");
        ensure!(taker.status().await?.phase() == Phase::Ready);
        // What other nodes say of it is true: it has given nothing itself.
        ensure!(row(&giver.store().await?).await?.1.is_none());
        Ok(())
    })
}

#[test]
fn a_session_sees_its_writes_and_never_goes_back_also_where_a_peer_answers() -> Result<()> {
    run(async {
        let place = Place::new("forward-session", TopicSpec::store())?;
        place.fill()?;
        let giver = place.giver(&SLOW).await?;
        let mut taker = place.taker(&giver)?;
        taker.start().await?;
        midway(&taker, MIB).await?;
        let store = taker.store().await?;
        // A row that is more than many reads may have in memory at once comes alone.
        let large = vec![b'l'; 200_000];
        store.put("large", large.clone()).await?;
        let read = store.read("large").await?;
        ensure!(read.copy.given_by == Some(giver.url()), "{:?}", read.copy);
        ensure!(read.entry.is_some_and(|entry| entry.value == large));
        let mut rows = store.scan(Scan::prefix("large")).await?;
        ensure!(rows.copy().given_by == Some(giver.url()), "{:?}", rows.copy());
        ensure!(rows.next().await.context("one row")??.value == large);
        let (mut forwarded, mut number) = (0, 0_u32);
        while taker.status().await?.phase() != Phase::Ready || number < 20 {
            number += 1;
            let written = match store.put("mine", number.to_string()).await {
                Ok(written) => written,
                // It opens the copy that has come: writes have to wait, and nothing happened.
                Err(error) if error.kind() == ErrorKind::Unavailable => continue,
                Err(error) => return Err(error.into()),
            };
            let read = store.read("mine").await?;
            let entry = read.entry.context("the session has written it")?;
            ensure!(entry.revision == written, "{entry:?} is not {written:?}");
            forwarded += u32::from(read.copy.given_by.is_some());
        }
        ensure!(forwarded > 0, "its copy came too fast");
        ensure!(store.read("mine").await?.copy.given_by.is_none(), "it is READY itself");
        Ok(())
    })
}

#[test]
fn stale_reads_ask_for_the_own_copy_and_a_node_that_may_not_forward_refuses() -> Result<()> {
    run(async {
        let place = Place::new("forward-not", TopicSpec::store())?;
        place.fill()?;
        let giver = place.giver(&SLOW).await?;
        let mut taker = place.taker(&giver)?;
        let mut silent =
            place.peer("silent", &["--peers", &giver.url(), "--forward-reads", "false"])?;
        taker.start().await?;
        silent.start().await?;
        for node in [&taker, &silent] {
            midway(node, MIB).await?;
        }
        let got = taker.ask("get", &["key 2500"])?;
        let told = String::from_utf8(got.stderr)?;
        ensure!(got.status.success() && got.stdout.len() >= 1_024, "{told}");
        ensure!(told.contains(&format!("its peer {} answers", giver.url())), "{told}");
        let stale = taker.store().await?.with_level(Level::Stale);
        let refused = stale.get("key 2500").await.err().context("it has no copy")?;
        ensure!(refused.kind() == ErrorKind::Unavailable, "{refused}");
        ensure!(!refused.to_string().contains("peer"), "{refused}");
        let refused = silent.store().await?.get("key 2500").await.err().context("it restores")?;
        ensure!(refused.kind() == ErrorKind::Unavailable, "{refused}");
        ensure!(!refused.to_string().contains("peer"), "{refused}");
        Ok(())
    })
}

#[test]
fn a_peer_that_hangs_is_passed_over_and_nodes_that_all_restore_refuse_at_once() -> Result<()> {
    run(async {
        let place = Place::new("forward-hangs", TopicSpec::store())?;
        place.fill()?;
        let metrics = free_port()?;
        let mut hangs = place.giver(&SLOW).await?;
        let mut sound = place.another_giver("sound", &SLOW).await?;
        let peers = format!("{},{}", hangs.url(), sound.url());
        // Neither is READY soon: what they have to read from the log comes slowly.
        let slowly = ["--restore-rate", "64KiB", "--metrics", &format!("127.0.0.1:{metrics}")];
        let mut taker = place.peer("taker", &["--peers", &peers])?.with_args(&slowly);
        let twin_args = ["--peers", &taker.url(), "--restore-rate", "64KiB"];
        let mut twin = place.peer("twin", &twin_args)?;
        taker.start().await?;
        midway(&taker, MIB).await?;
        hangs.pause()?;
        let store = taker.store().await?.with_level(Level::Local);
        for _ in 0..20 {
            ensure!(row(&store).await?.1 == Some(sound.url()));
        }
        sound.kill()?;
        // Both wait for a copy now, and each is asked by the other.
        twin.start().await?;
        let restores = |status: &StoreStatus| status.phase() == Phase::Restoring;
        twin.until("RESTORING", MINUTE, restores).await?;
        let store = twin.store().await?.with_level(Level::Local);
        let unanswered = forwarded(metrics, "no")?;
        let refused = store.get("key 2500").await.err().context("nobody has a copy")?;
        ensure!(refused.kind() == ErrorKind::Unavailable, "{refused}");
        let text = refused.to_string();
        ensure!(text.contains("no peer has answered it either"), "{text}");
        ensure!(text.contains(&taker.url()), "{text}");
        // The one that was asked for the other has asked nobody in its turn.
        ensure!(forwarded(metrics, "no")? == unanswered, "it was forwarded again");
        hangs.resume()?;
        let answered = async {
            let store = taker.store().await?.with_level(Level::Local);
            let deadline = Instant::now() + MINUTE;
            loop {
                match row(&store).await {
                    Ok((_, by)) => return Ok(by),
                    Err(error) => ensure!(Instant::now() < deadline, "{error}"),
                }
            }
        };
        let by = answered.await?;
        ensure!(by.is_none() || by == Some(hangs.url()), "{by:?}");
        Ok(())
    })
}

#[test]
fn who_does_not_know_the_peers_secret_is_answered_no_read() -> Result<()> {
    run(async {
        let place = Place::new("forward-rights", TopicSpec::store())?;
        place.fill()?;
        let giver = place.giver(&SLOW).await?;
        let other = place.secret("other", "another-secret-of-others")?;
        let stranger = ["--peers", &giver.url(), "--peer-secret-file"];
        let stranger = [&stranger[..], &[other.to_str().context("a path of text")?]].concat();
        let mut stranger = place.node("stranger")?.with_args(&stranger);
        // It goes on restoring while it is asked.
        let slowly = ["--restore-rate", "1MiB"];
        stranger = stranger.with_args(&slowly);
        stranger.start().await?;
        let restores = |status: &StoreStatus| status.phase() == Phase::Restoring;
        stranger.until("RESTORING", MINUTE, restores).await?;
        let store = stranger.store().await?.with_level(Level::Local);
        let refused = store.get("key 2500").await.err().context("it is no peer")?.to_string();
        ensure!(refused.contains("the peer secret is another"), "{refused}");
        until_logged(&giver, "somebody asked as a peer with a wrong secret").await?;
        Ok(())
    })
}

#[test]
fn a_callers_own_rights_are_asked_for_before_anything_is_forwarded() -> Result<()> {
    run(async {
        let place = Place::new("forward-rules", TopicSpec::store())?;
        place.fill()?;
        let giver = place.giver(&SLOW).await?;
        let secret = place.secret("secret", SECRET)?;
        let tokens = place.secret("tokens", "some 0123456789abcdef-of-some\n")?;
        let settings = format!(
            "tokens_file = '{}'\npeer_secret_file = '{}'\npeers = ['{}']\n[[store]]\nname = '{STORE}'\n\
             topic = '{}'\n[[access]]\nwho = ['token:some']\nprefix = 'key 25'\nmay = ['read']\n",
            tokens.display(),
            secret.display(),
            giver.url(),
            place.topic.name()
        );
        let config = place.secret("guarded.toml", &settings)?;
        let config = config.to_str().context("a path of text")?;
        let args = ["--bootstrap", &place.bootstrap, "--config", config];
        let mut guarded = Node::with_settings(place.dir.path(), "guarded", &args)?;
        guarded.spawn()?;
        let stranger = first_store(&guarded).await?.with_level(Level::Local);
        let refused = stranger.get("key 2500").await.err().context("who is that")?;
        ensure!(refused.reason() == Some(Reason::Unauthenticated), "{refused}");
        let client = guarded.client().await?;
        client.set_bearer_token(Some("0123456789abcdef-of-some"))?;
        let store = client.store(STORE).with_level(Level::Local);
        ensure!(row(&store).await?.1 == Some(giver.url()));
        ensure!(first_rows(&store, 50).await? == (50, Some(giver.url())));
        let refused = store.get("key 1").await.err().context("it may not")?;
        ensure!(refused.reason() == Some(Reason::NotAllowed), "{refused}");
        let refused = store.scan(Scan::all()).await.err().context("it may not")?;
        ensure!(refused.reason() == Some(Reason::NotAllowed), "{refused}");
        Ok(())
    })
}
