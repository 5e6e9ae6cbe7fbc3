//! Every call, by every kind of caller: who may is answered, who may not is refused by name.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use outrigger::access::{Needs, Right, needs};
use outrigger_client::{Watch, WatchEvent};
use outrigger_proto::Rpc;
use outrigger_proto::peer::v1::{
    CheckpointRequest, ForwardGetRequest, ForwardScanRequest, PeerDigestRequest, PeerStatusRequest,
};
use outrigger_proto::v1::scan_request::Keys;
use outrigger_proto::v1::verify_request::Ask;
use outrigger_proto::v1::write_item::Action;
use outrigger_proto::v1::write_reply::Outcome;
use outrigger_proto::v1::{
    CancelRequest, CommitCursorRequest, ContinueRequest, DeleteCursorRequest, DeleteRequest,
    ErrorDetail, GetCursorRequest, GetRequest, KeyRange, KeySelector, ListCursorsRequest,
    PinRequest, PutRequest, Reason, ReleaseRequest, ScanRequest, StatusRequest, ThrottleRequest,
    Token, VerifyRequest, WatchPoint, WatchRequest, WatchStatusRequest, WriteItem, WriteRequest,
    key_selector, store_client::StoreClient, watch_request,
};
use outrigger_tests::left_out::left_out;
use outrigger_tests::node::{STORE, binary};
use prost::Message;
use tokio_stream::StreamExt;
use tonic::transport::Channel;

use super::rules::{Guarded, SECRET, SOMEBODY, asked, said, token};
use crate::abuse::{in_time, until_metric};
use crate::e2e::run;
use crate::site::{is_root, text};

/// Which keys a call is about.
#[derive(Clone, Copy, Debug)]
enum Which {
    Inside,
    /// Those of the prefix, or the key that it is.
    Equal,
    Outside,
    /// From within to the last key.
    Beyond,
    All,
}

const EVERY_WHICH: [Which; 5] =
    [Which::Inside, Which::Equal, Which::Outside, Which::Beyond, Which::All];

impl Which {
    fn key(self) -> Bytes {
        Bytes::from_static(match self {
            Which::Inside => b"user/1",
            Which::Equal => b"user/",
            Which::Outside => b"order/1",
            Which::Beyond => b"user0",
            Which::All => b"",
        })
    }

    fn range(self) -> Option<Keys> {
        match self {
            Which::Inside | Which::Equal | Which::Outside => Some(Keys::Prefix(self.key())),
            Which::Beyond => Some(Keys::Range(KeyRange { start: "user/".into(), end: None })),
            Which::All => None,
        }
    }

    fn is_inside(self, rpc: Rpc) -> bool {
        match self {
            Which::Inside | Which::Equal => rpc != Rpc::Verify,
            // They name no keys, and are for whoever may write or read any.
            Which::Outside | Which::Beyond | Which::All => {
                rpc == Rpc::Release || is_of_cursors(rpc)
            }
        }
    }
}

fn is_of_cursors(rpc: Rpc) -> bool {
    matches!(rpc, Rpc::CommitCursor | Rpc::GetCursor | Rpc::ListCursors | Rpc::DeleteCursor)
}

/// A message of each call; it names every one, so that none is forgotten.
fn message(rpc: Rpc, which: Which) -> Bytes {
    let (store, key) = (STORE.to_owned(), which.key());
    let bytes = match rpc {
        Rpc::Get => GetRequest { store, key, ..GetRequest::default() }.encode_to_vec(),
        Rpc::Put => PutRequest { store, key, ..PutRequest::default() }.encode_to_vec(),
        Rpc::Delete => DeleteRequest { store, key, ..DeleteRequest::default() }.encode_to_vec(),
        Rpc::Scan => {
            ScanRequest { store, keys: which.range(), ..ScanRequest::default() }.encode_to_vec()
        }
        // A watch does not end by itself, but where its point is none.
        Rpc::Watch => {
            let selector = which.range().map(|keys| match keys {
                Keys::Prefix(prefix) => key_selector::Keys::Prefix(prefix),
                Keys::Range(range) => key_selector::Keys::Range(range),
            });
            let keys = selector.map(|keys| KeySelector { keys: Some(keys) }).into_iter().collect();
            let from = Some(watch_request::From::Point(WatchPoint::default()));
            WatchRequest { store, keys, from, ..WatchRequest::default() }.encode_to_vec()
        }
        Rpc::CommitCursor => {
            CommitCursorRequest { store, name: "c".to_owned(), point: None }.encode_to_vec()
        }
        Rpc::GetCursor => GetCursorRequest { store, name: "c".to_owned() }.encode_to_vec(),
        Rpc::ListCursors => ListCursorsRequest { store }.encode_to_vec(),
        Rpc::DeleteCursor => DeleteCursorRequest { store, name: "c".to_owned() }.encode_to_vec(),
        Rpc::Write => {
            let items = vec![WriteItem { key, action: Some(Action::Put("v".into())) }];
            WriteRequest { store, items, ..WriteRequest::default() }.encode_to_vec()
        }
        Rpc::Status => StatusRequest { store, with_digest: false }.encode_to_vec(),
        // A watch does not end by itself.
        Rpc::WatchStatus => {
            WatchStatusRequest { store: "none".to_owned(), interval_ms: 0 }.encode_to_vec()
        }
        Rpc::Verify => {
            let at = Some(Token { topic_id: vec![0; 16].into(), positions: vec![] });
            let pin = PinRequest { store, at, wait_ms_max: Some(1) };
            VerifyRequest { ask: Some(Ask::Pin(pin)) }.encode_to_vec()
        }
        Rpc::Throttle => ThrottleRequest { bytes_per_second: None }.encode_to_vec(),
        Rpc::Cancel => CancelRequest { store }.encode_to_vec(),
        Rpc::Continue => ContinueRequest { store }.encode_to_vec(),
        Rpc::Release => ReleaseRequest {}.encode_to_vec(),
        Rpc::Checkpoint => CheckpointRequest { store, resume: None }.encode_to_vec(),
        Rpc::ForwardGet => {
            let request = Some(GetRequest { store, key, ..GetRequest::default() });
            ForwardGetRequest { target: None, request }.encode_to_vec()
        }
        Rpc::ForwardScan => {
            let keys = which.range();
            let request = Some(ScanRequest { store, keys, ..ScanRequest::default() });
            ForwardScanRequest { target: None, request }.encode_to_vec()
        }
        Rpc::PeerStatus => PeerStatusRequest { stores: vec![store] }.encode_to_vec(),
        Rpc::PeerDigest => PeerDigestRequest { store, at: None }.encode_to_vec(),
    };
    bytes.into()
}

fn assert_refused(
    case: &str,
    answer: Result<(), ErrorDetail>,
    reason: Reason,
) -> Result<ErrorDetail> {
    let detail = answer.err().with_context(|| format!("{case}: it was answered"))?;
    ensure!(detail.reason() == reason, "{case}: {detail:?}");
    ensure!(!detail.may_have_happened && !detail.what_to_do.is_empty(), "{case}: {detail:?}");
    Ok(detail)
}

/// What the caller asked for may fail, but not because of who it is.
fn assert_let_in(case: &str, answer: &Result<(), ErrorDetail>) -> Result<()> {
    let kept_out = answer.as_ref().is_err_and(|detail| {
        matches!(detail.reason(), Reason::Unauthenticated | Reason::NotAllowed)
    });
    ensure!(!kept_out, "{case}: {answer:?}");
    Ok(())
}

#[test]
fn every_call_is_for_whom_its_right_is_given() -> Result<()> {
    run(async {
        let guarded = Guarded::start("access-rights").await?;
        let (tcp, socket) = (guarded.over_tcp().await?, guarded.over_socket().await?);
        for rpc in Rpc::ALL {
            let ask = |channel, bearer| {
                let bearer: Option<String> = bearer;
                async move { asked(channel, rpc, message(rpc, Which::All), bearer.as_deref()).await }
            };
            for stranger in [None, Some("0123456789abcdef-of-nobody".to_owned())] {
                let case = format!("{rpc:?} by a stranger, {stranger:?}");
                assert_refused(&case, ask(&tcp, stranger).await, Reason::Unauthenticated)?;
            }
            for (caller, right) in [
                ("reader", Right::Read),
                ("writer", Right::Write),
                ("watcher", Right::Watch),
                ("operator", Right::Admin),
            ] {
                let case = format!("{rpc:?} by {caller}");
                let answer = ask(&tcp, Some(token(caller))).await;
                match needs(rpc) {
                    // There the token is no secret of a peer, and says nothing.
                    Needs::Right(Right::Peer) => {
                        assert_refused(&case, answer, Reason::Unauthenticated)?;
                    }
                    Needs::Any => assert_let_in(&case, &answer)?,
                    Needs::Right(needed) if needed == right => assert_let_in(&case, &answer)?,
                    Needs::Right(needed) => {
                        let told = assert_refused(&case, answer, Reason::NotAllowed)?.message;
                        for fact in
                            [format!("token:{caller}"), format!("`{needed}`"), STORE.to_owned()]
                        {
                            ensure!(told.contains(&fact), "{case}: {told}");
                        }
                    }
                }
            }
            let case = format!("{rpc:?} by a peer over the socket");
            let bearer = (needs(rpc) == Needs::Right(Right::Peer)).then(|| SECRET.to_owned());
            let answer = ask(&socket, bearer).await;
            match needs(rpc) {
                Needs::Right(Right::Peer) => assert_let_in(&case, &answer)?,
                // Its message is of a store that nobody has, so that it ends by itself.
                Needs::Any if rpc == Rpc::WatchStatus => {
                    assert_refused(&case, answer, Reason::UnknownStore)?;
                }
                // A node that takes copies sees nothing else.
                Needs::Any | Needs::Right(_) => {
                    assert_refused(&case, answer, Reason::NotAllowed)?;
                }
            }
        }
        let failures = "outrigger_failures_total{reason=\"unauthenticated\"}";
        until_metric(guarded.metrics, failures, |count| count >= 24.0).await?;
        let told = guarded.node.log();
        let lines = |words: &str| told.lines().filter(|line| line.contains(words)).count();
        let (strangers, refused) =
            (lines("a caller was not let in"), lines("a caller asked for what it may not"));
        ensure!(
            (1..=9).contains(&strangers) && (1..=9).contains(&refused),
            "{strangers} {refused}"
        );
        ensure!(!told.contains("0123456789abcdef"), "a token is in the log");
        Ok(())
    })
}

#[test]
fn keys_outside_of_a_callers_prefix_are_refused_by_name_and_no_range_is_cut() -> Result<()> {
    run(async {
        let guarded = Guarded::start("access-keys").await?;
        let tcp = guarded.over_tcp().await?;
        for rpc in Rpc::ALL {
            let caller = match needs(rpc) {
                Needs::Right(Right::Read) => "some-reader",
                Needs::Right(Right::Write) => "some-writer",
                Needs::Right(Right::Watch) => "some-watcher",
                Needs::Right(Right::Admin | Right::Peer) | Needs::Any => continue,
            };
            for which in EVERY_WHICH {
                let case = format!("{rpc:?} of {which:?}");
                let bearer = token(caller);
                let answer = asked(&tcp, rpc, message(rpc, which), Some(&bearer)).await;
                if which.is_inside(rpc) {
                    let let_in = match &answer {
                        // Their point is none, so that they end, and nobody has committed the cursor.
                        Err(detail) if matches!(rpc, Rpc::Watch | Rpc::CommitCursor) => {
                            detail.reason() == Reason::TokenInvalid
                        }
                        Err(detail) if rpc == Rpc::GetCursor => {
                            detail.reason() == Reason::Compacted
                        }
                        answer => answer.is_ok(),
                    };
                    ensure!(let_in, "{case}: {answer:?}");
                } else {
                    let told = assert_refused(&case, answer, Reason::NotAllowed)?.message;
                    ensure!(told.contains(caller) && told.contains("\"user/\""), "{case}: {told}");
                }
            }
        }
        // Nothing of what was refused was written.
        let all = guarded.client("all").await?.store(STORE);
        let all = all.with_level(outrigger_client::Level::Latest);
        for which in [Which::Outside, Which::Beyond, Which::All] {
            ensure!(all.get(which.key()).await?.is_none(), "{which:?} is there");
        }
        // Status shows all that there is, but its digest is of all keys.
        let digest = StatusRequest { store: STORE.to_owned(), with_digest: true }.encode_to_vec();
        for (caller, may) in
            [("some-reader", false), ("writer", false), ("reader", true), ("operator", true)]
        {
            let bearer = token(caller);
            let answer = asked(&tcp, Rpc::Status, digest.clone().into(), Some(&bearer)).await;
            ensure!(answer.is_ok() == may, "digest by {caller}: {answer:?}");
        }
        Ok(())
    })
}

#[test]
fn a_watch_is_told_of_its_keys_alone_and_is_refused_where_one_of_its_ranges_is_outside()
-> Result<()> {
    run(async {
        let guarded = Guarded::start("access-watches").await?;
        let selector = |prefix: &str| KeySelector {
            keys: Some(key_selector::Keys::Prefix(prefix.to_owned().into())),
        };
        let inside = ["user/a", "user/b"].map(selector);
        let tcp = guarded.over_tcp().await?;
        for keys in
            [vec![], vec![selector("order/")], [&inside[..], &[selector("order/")]].concat()]
        {
            let case = format!("{keys:?}");
            let request = WatchRequest { store: STORE.to_owned(), keys, ..WatchRequest::default() };
            let bearer = token("some-watcher");
            let answer =
                asked(&tcp, Rpc::Watch, request.encode_to_vec().into(), Some(&bearer)).await;
            assert_refused(&case, answer, Reason::NotAllowed)?;
        }
        let store = guarded.client("some-watcher").await?.store(STORE);
        let (one, other) = (Watch::prefix("user/a"), Watch::prefix("user/b"));
        let mut watch = store.watch(one.or(other).from_now()).await?;
        let first =
            in_time("where it begins", watch.next()).await?.context("the watch ended")??;
        ensure!(matches!(first, WatchEvent::Point(_)), "{first:?}");
        let all = guarded.client("all").await?.store(STORE);
        let keys = ["user/a", "order/x", "user/c", "user/b"];
        for key in keys {
            all.put(key, "v").await?;
        }
        let mut told = vec![];
        while told.len() < 2 {
            match in_time("a change", watch.next()).await?.context("the watch ended")?? {
                WatchEvent::Change(change) => told.push(change.key),
                WatchEvent::Point(_) => {}
                event => bail!("{event:?}"),
            }
        }
        ensure!(told == ["user/a", "user/b"], "{told:?}");
        Ok(())
    })
}

#[test]
fn an_item_of_a_write_stream_outside_of_the_prefix_is_refused_alone() -> Result<()> {
    run(async {
        let guarded = Guarded::start("access-items").await?;
        let keys = ["user/a", "order/x", "user/b"];
        let item = |key: &str| WriteItem {
            key: key.to_owned().into(),
            action: Some(Action::Put("v".into())),
        };
        let items = keys.map(item).to_vec();
        let request = WriteRequest { store: STORE.to_owned(), items, ..WriteRequest::default() };
        let mut rows: StoreClient<Channel> = StoreClient::new(guarded.over_tcp().await?);
        let stream = tokio_stream::iter([request.clone(), request]);
        let stream = said(stream, Some(&token("some-writer")));
        let mut answers = rows.write(stream).await?.into_inner();
        let mut outcomes = vec![];
        while let Some(answer) = answers.next().await {
            outcomes.extend(answer?.replies.into_iter().filter_map(|reply| reply.outcome));
        }
        ensure!(outcomes.len() == 6, "{outcomes:?}");
        for (index, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Outcome::Revision(_) => ensure!(index % 3 != 1, "order/x was written"),
                Outcome::Error(detail) => {
                    ensure!(index % 3 == 1, "{detail:?}");
                    ensure!(detail.reason() == Reason::NotAllowed && !detail.may_have_happened);
                }
            }
        }
        let all = guarded.client("all").await?.store(STORE);
        let all = all.with_level(outrigger_client::Level::Latest);
        ensure!(all.get("order/x").await?.is_none());
        ensure!(all.get("user/b").await?.is_some());
        Ok(())
    })
}

#[test]
fn commands_say_who_they_are_and_the_doctor_says_who_may() -> Result<()> {
    if !is_root() {
        return left_out("only root can be another user");
    }
    run(async {
        let guarded = Guarded::start("access-commands").await?;
        guarded.client("all").await?.store(STORE).put("user/1", "one").await?;
        let dir = guarded.place.dir.path();
        fs::set_permissions(dir, Permissions::from_mode(0o755))?;
        let program = dir.join("outrigger");
        fs::copy(binary(), &program)?;
        let server = format!("unix://{}", guarded.socket.display());
        let by = |user: u32, args: &[&str]| -> Result<Output> {
            let mut command = Command::new(&program);
            command.args(args).args(["--server", &server, "--store", STORE]).current_dir("/");
            Ok(command.uid(user).gid(user).output()?)
        };
        let read = by(SOMEBODY, &["get", "user/1", "--level", "latest"])?;
        ensure!(read.stdout.starts_with(b"one"), "{}", text(&read));
        let outside = by(SOMEBODY, &["get", "order/1"])?;
        ensure!(outside.status.code() == Some(77), "{}", text(&outside));
        ensure!(
            text(&outside).contains("uid:65534") && text(&outside).contains("REASON_NOT_ALLOWED")
        );
        let stranger = by(SOMEBODY - 1, &["get", "user/1"])?;
        ensure!(stranger.status.code() == Some(77), "{}", text(&stranger));
        ensure!(text(&stranger).contains("REASON_UNAUTHENTICATED"), "{}", text(&stranger));
        let own = dir.join("token");
        fs::write(&own, token("all"))?;
        let own = own.to_string_lossy().into_owned();
        let put = guarded.node.ask("put", &["order/1", "v", "--token-file", &own])?;
        ensure!(put.status.success(), "{}", text(&put));
        for (command, args) in [("status", &[][..]), ("wait", &[])] {
            let without = guarded.node.ask(command, args)?;
            ensure!(without.status.code() == Some(77), "{command}: {}", text(&without));
            let with = guarded.node.ask(command, &["--token-file", &own])?;
            ensure!(with.status.success(), "{command}: {}", text(&with));
        }
        let doctor = text(&guarded.node.look("doctor")?);
        for line in [
            "rule: token:some-reader, uid:65534 may read: every store, keys that begin with \"user/\"",
            "rule: token:operator may admin: every store",
            "tokens of 9 callers",
        ] {
            ensure!(doctor.contains(line), "{line}:\n{doctor}");
        }
        ensure!(guarded.config.exists());
        Ok(())
    })
}
