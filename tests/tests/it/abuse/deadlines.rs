//! A call's own deadline, as a plain client of another language tells it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use outrigger_proto::v1::admin_client::AdminClient;
use outrigger_proto::v1::{
    DeleteRequest, ErrorDetail, GetRequest, Level, PutRequest, ReadOptions, Reason, ScanRequest,
    VerifyRequest, WatchStatusRequest, WriteItem, WriteRequest, write_item::Action,
};
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::{Node, STORE};
use tempfile::TempDir;
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status, Streaming};

use super::{rows, run};

/// This is less than a write waits for the log by itself, and so long that what an answer has to reach its caller, a
/// twentieth of it, is enough on a machine that does much else.
const DEADLINE: Duration = Duration::from_secs(9);

/// A request with the call's deadline.
fn late<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

/// The answer that is there when the deadline of a call ends that begins now; then its caller gives up. An answer that
/// has come is taken also where this process was not run in time to see it.
async fn before_its_deadline<T>(what: &str, answer: impl Future<Output = T>) -> Result<T> {
    let answer = tokio::time::timeout(DEADLINE, answer).await;
    answer.with_context(|| format!("{what}: not answered before its deadline"))
}

/// Here is every kind of call that waits for something that does not come.
#[test]
fn every_call_that_is_late_is_answered_with_details_before_its_deadline() -> Result<()> {
    run(async {
        let cluster = Cluster::start(1, &[])?;
        let topic = cluster.topic("late-calls", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        cluster.pause(1)?;
        let late = tokio::join!(reads(&node), writes(&node), streams(&node));
        cluster.resume(1)?;
        for (what, status, reason) in [late.0?, late.1?, late.2?].concat() {
            let detail = ErrorDetail::from_status(&status);
            let detail = detail.with_context(|| format!("{what}: {status:?}"))?;
            // A read may know by then that nobody answers for the log.
            let named =
                reason == Reason::DeadlineExceeded && detail.reason() == Reason::LogUnavailable;
            ensure!(detail.reason() == reason || named, "{what}: {detail:?}");
            ensure!(!detail.what_to_do.is_empty(), "{what}: {detail:?}");
            ensure!(status.code() == detail.reason().code(), "{what}: {status:?}");
            let unknown = reason == Reason::WriteUnknown;
            ensure!(detail.may_have_happened == unknown, "{what}: {detail:?}");
        }
        Ok(())
    })
}

/// What was asked, how it ended, and the reason that it must have.
type Late = Vec<(&'static str, Status, Reason)>;

async fn reads(node: &Node) -> Result<Late> {
    let latest = || Some(ReadOptions { level: Level::Latest.into(), ..ReadOptions::default() });
    let get = GetRequest { key: "k".into(), read: latest(), ..GetRequest::default() };
    let scan = ScanRequest { read: latest(), ..ScanRequest::default() };
    let (mut one, mut other) = (rows(node).await?, rows(node).await?);
    let (get, scan) = tokio::join!(
        before_its_deadline("Get", one.get(late(get))),
        before_its_deadline("Scan", other.scan(late(scan))),
    );
    let (get, scan) = (get?.err().context("Get")?, scan?.err().context("Scan")?);
    Ok(vec![("Get", get, Reason::DeadlineExceeded), ("Scan", scan, Reason::DeadlineExceeded)])
}

async fn writes(node: &Node) -> Result<Late> {
    let put = PutRequest { key: "k".into(), value: "1".into(), ..PutRequest::default() };
    let delete = DeleteRequest { key: "d".into(), ..DeleteRequest::default() };
    let item = WriteItem { key: "w".into(), action: Some(Action::Put("v".into())) };
    let store = STORE.to_owned();
    let items = WriteRequest { store, items: vec![item], ..WriteRequest::default() };
    // Its caller has more to write later.
    let stream = tokio_stream::once(items).chain(tokio_stream::pending());
    let mut clients = [rows(node).await?, rows(node).await?, rows(node).await?];
    let [one, two, three] = &mut clients;
    let (put, delete, stream) = tokio::join!(
        before_its_deadline("Put", one.put(late(put))),
        before_its_deadline("Delete", two.delete(late(delete))),
        before_its_deadline("Write", end_of(three.write(late(stream)))),
    );
    let (put, delete) = (put?.err().context("Put")?, delete?.err().context("Delete")?);
    Ok(vec![
        ("Put", put, Reason::WriteUnknown),
        ("Delete", delete, Reason::WriteUnknown),
        ("Write", stream??, Reason::WriteUnknown),
    ])
}

async fn streams(node: &Node) -> Result<Late> {
    let mut clients =
        [AdminClient::connect(node.url()).await?, AdminClient::connect(node.url()).await?];
    let [one, two] = &mut clients;
    let watch = WatchStatusRequest { store: String::new(), interval_ms: 1_000 };
    let asks_nothing = tokio_stream::pending::<VerifyRequest>();
    let (watch, verify) = tokio::join!(
        before_its_deadline("WatchStatus", end_of(one.watch_status(late(watch)))),
        before_its_deadline("Verify", end_of(two.verify(late(asks_nothing)))),
    );
    Ok(vec![
        ("WatchStatus", watch??, Reason::DeadlineExceeded),
        ("Verify", verify??, Reason::DeadlineExceeded),
    ])
}

/// The error that a stream ends with.
async fn end_of<T>(
    answers: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
) -> Result<Status> {
    let mut answers = answers.await?.into_inner();
    loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => bail!("it ends without an error"),
            Err(status) => return Ok(status),
        }
    }
}
