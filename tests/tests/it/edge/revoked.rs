//! Tokens come and go while a node runs.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use outrigger_client::{
    CacheError, Client, Error, ErrorKind, Pending, Reason, Scan, Watch, WatchEvent, WatchStream,
};
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::write_item::Action;
use outrigger_proto::v1::{ErrorDetail, WriteItem, WriteRequest};
use outrigger_tests::node::STORE;
use tokio_stream::StreamExt;

use super::rules::{CALLERS, Guarded, said, token, tokens_of};
use crate::abuse::{in_time, until_metric};
use crate::e2e::{MINUTE, run};
use crate::site::POLL;

const UNFIT: &str = "outrigger_tokens_file_unfit";

/// More than a connection takes ahead of its reader.
const ROWS: usize = 4_000;
const VALUE_BYTES: usize = 4 * 1024;

/// Replaces the file of tokens as it should be: at once.
fn replace(guarded: &Guarded, text: &str) -> Result<()> {
    let new = guarded.tokens.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, &guarded.tokens)?)
}

/// Waits until calls with this client's token are let in, or not any more.
async fn until_let_in(client: &Client, let_in: bool) -> Result<()> {
    let deadline = tokio::time::Instant::now() + MINUTE;
    loop {
        let answer = client.status().await;
        let refused =
            answer.as_ref().is_err_and(|error| error.reason() == Some(Reason::Unauthenticated));
        if refused != let_in {
            return Ok(());
        }
        ensure!(tokio::time::Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(POLL).await;
    }
}

#[test]
fn a_token_that_is_taken_away_ends_the_streams_that_came_with_it_and_no_others() -> Result<()> {
    run(async {
        let guarded = Guarded::start("access-revoked").await?;
        let (all, fleeting) = (guarded.client("all").await?, guarded.client("fleeting").await?);
        fill(&all).await?;
        let mut kept = all.store(STORE).watch_status(Duration::from_millis(100)).await?;
        let mut watch = fleeting.store(STORE).watch_status(Duration::from_millis(100)).await?;
        for states in [&mut kept, &mut watch] {
            states.next().await.context("a first status")??;
        }
        let mut rows = fleeting.store(STORE).scan(Scan::all()).await?;
        rows.next().await.context("a first row")??;
        let mut writes: StoreClient<_> = StoreClient::new(guarded.over_tcp().await?);
        let (items, stream) = tokio::sync::mpsc::channel(1);
        let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
        let request = said(stream, Some(&token("fleeting")));
        let mut replies = writes.write(request).await?.into_inner();
        items.send(item("w")).await?;
        replies.next().await.context("a reply")??;

        let others: Vec<_> = CALLERS.into_iter().filter(|name| *name != "fleeting").collect();
        replace(&guarded, &tokens_of(&others))?;
        until_let_in(&fleeting, false).await?;
        let refused = |error: Error| {
            let as_it_must = error.kind() == ErrorKind::Refused
                && error.reason() == Some(Reason::Unauthenticated);
            if as_it_must { Ok(()) } else { Err(error) }
        };
        loop {
            let state = in_time("the watch goes on", watch.next()).await?;
            match state.context("the watch ended without an error")? {
                Ok(_) => {}
                Err(error) => break refused(error)?,
            }
        }
        let mut read = 1;
        loop {
            let row = in_time("the scan goes on", rows.next()).await?;
            match row.context("the scan ended without an error")? {
                Ok(_) => read += 1,
                Err(error) => break refused(error)?,
            }
        }
        ensure!(read < ROWS, "all rows came");
        let end = in_time("the writes go on", replies.next()).await?;
        let end = end.context("the writes ended without an error")?;
        let detail = ErrorDetail::from_status(&end.err().context("a reply to nothing")?);
        let detail = detail.context("no details")?;
        ensure!(detail.reason() == Reason::Unauthenticated, "{detail:?}");
        // Of an item that was under way nobody could tell.
        ensure!(detail.may_have_happened, "{detail:?}");
        drop(items);
        all.store(STORE).put("k", "v").await?;
        kept.next().await.context("the watch of another ended")??;
        ensure!(guarded.node.log().contains("the tokens of callers changed"));
        Ok(())
    })
}

/// What a watch tells next, but for points.
async fn told(events: &mut WatchStream) -> Result<Result<WatchEvent, Error>> {
    in_time("the watch goes on", async {
        loop {
            match events.next().await.context("a watch ends with an error")? {
                Ok(WatchEvent::Point(_)) => {}
                told => return Ok(told),
            }
        }
    })
    .await?
}

async fn tells_change_of(events: &mut WatchStream, key: &str) -> Result<()> {
    match told(events).await?? {
        WatchEvent::Change(change) if change.key == key => Ok(()),
        event => bail!("{event:?} instead of {key}"),
    }
}

fn is_unauthenticated(error: &Error) -> Result<()> {
    ensure!(error.reason() == Some(Reason::Unauthenticated), "{error}");
    Ok(())
}

#[test]
fn watches_and_caches_go_on_with_a_new_token_when_the_old_one_is_taken_away() -> Result<()> {
    run(async {
        let guarded = Guarded::start("access-rotated").await?;
        let (all, rotated) = (guarded.client("all").await?, guarded.client("fleeting").await?);
        let (writer, store) = (all.store(STORE), rotated.store(STORE));
        let mut events = store.watch(Watch::all().from_now()).await?;
        let decode = |_key: &[u8], value: &[u8]| String::from_utf8(value.to_vec());
        let mut cache = store.cache(Watch::all(), decode).await?;
        writer.put("before", "1").await?;
        tells_change_of(&mut events, "before").await?;

        replace(&guarded, &tokens_of(&["all", "fleeting", "late"]))?;
        until_let_in(&guarded.client("late").await?, true).await?;
        rotated.set_bearer_token(Some(&token("late")))?;
        replace(&guarded, &tokens_of(&["all", "late"]))?;
        match told(&mut events).await?? {
            WatchEvent::Interrupted(error) => is_unauthenticated(&error)?,
            event => bail!("{event:?}"),
        }
        writer.put("after", "2").await?;
        tells_change_of(&mut events, "after").await?;
        cache.reached(&writer.token().context("it wrote")?).await?;
        cache.changed().await?;
        ensure!(cache.get("after")?.is_some_and(|value| *value == "2"));

        // The client has no other one this time.
        replace(&guarded, &tokens_of(&["all"]))?;
        match told(&mut events).await?? {
            WatchEvent::Interrupted(error) => is_unauthenticated(&error)?,
            event => bail!("{event:?}"),
        }
        is_unauthenticated(&told(&mut events).await?.err().context("it is refused")?)?;
        match in_time("the cache ends", cache.changed()).await? {
            Err(CacheError::Watch(error)) => is_unauthenticated(&error),
            other => bail!("{other:?}"),
        }
    })
}

fn item(key: &str) -> WriteRequest {
    let action = Some(Action::Put("v".into()));
    let items = vec![WriteItem { key: key.to_owned().into(), action }];
    WriteRequest { store: STORE.to_owned(), items, ..WriteRequest::default() }
}

async fn fill(client: &Client) -> Result<()> {
    let store = client.store(STORE);
    let writer = store.writer();
    let mut pending: Vec<Pending> = vec![];
    for number in 0..ROWS {
        let value = vec![b'v'; VALUE_BYTES];
        pending.push(writer.put(format!("row/{number}"), value).await?);
    }
    for write in pending {
        write.await?;
    }
    // What it wrote it sees.
    store.get("row/0").await?;
    Ok(())
}

#[test]
fn a_file_that_is_half_written_keeps_the_tokens_that_were_good() -> Result<()> {
    run(async {
        let guarded = Guarded::start("access-half-written").await?;
        let all = guarded.client("all").await?;
        until_metric(guarded.metrics, UNFIT, |unfit| unfit == 0.0).await?;
        let whole = format!("{}late {}\n", tokens_of(&CALLERS), token("late"));
        let late = guarded.client("late").await?;
        // It is written in place, and stops in the middle of the first token, and then before the end of the last line.
        for half in [&whole[..20], &whole[..whole.len() - 1]] {
            fs::write(&guarded.tokens, half)?;
            until_metric(guarded.metrics, UNFIT, |unfit| unfit == 1.0).await?;
            all.status().await?;
            match late.status().await {
                Err(error) if error.reason() == Some(Reason::Unauthenticated) => {}
                other => bail!("{other:?}"),
            }
        }
        fs::remove_file(&guarded.tokens)?;
        all.status().await?;
        replace(&guarded, &whole)?;
        until_let_in(&late, true).await?;
        all.status().await?;
        until_metric(guarded.metrics, UNFIT, |unfit| unfit == 0.0).await?;
        Ok(())
    })
}
