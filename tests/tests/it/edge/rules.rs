//! A node with rules, and callers of every kind.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use bytes::Bytes;
use outrigger_proto::Rpc;
use outrigger_proto::v1::{ErrorDetail, Reason};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, STORE, free_port};
use tokio_stream::StreamExt;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::api::refusals::Raw;
use crate::e2e::Place;

pub(super) const SECRET: &str = "0123456789abcdef-of-all-peers";
pub(super) const SOMEBODY: u32 = 65_534;

/// The callers who have a token: its name is theirs.
pub(super) const CALLERS: [&str; 9] = [
    "all",
    "reader",
    "writer",
    "watcher",
    "operator",
    "some-reader",
    "some-writer",
    "some-watcher",
    "fleeting",
];

/// Over the socket this test's own user is a peer, and somebody else reads some keys.
const RULES: &str = r#"
[[access]]
who = ["token:all", "token:fleeting", "token:late"]
may = ["read", "write", "watch", "admin"]

[[access]]
who = ["token:reader"]
store = "state"
may = ["read"]

[[access]]
who = ["token:writer"]
may = ["write"]

[[access]]
who = ["token:watcher"]
may = ["watch"]

[[access]]
who = ["token:operator"]
may = ["admin"]

[[access]]
who = ["token:some-reader", "uid:65534"]
prefix = "user/"
may = ["read"]

[[access]]
who = ["token:some-writer"]
store = "state"
prefix = "user/"
may = ["write"]

[[access]]
who = ["token:some-watcher"]
prefix = "user/"
may = ["watch"]
"#;

pub(super) struct Guarded {
    pub(super) place: Place,
    pub(super) node: Node,
    pub(super) metrics: u16,
    pub(super) config: PathBuf,
    pub(super) tokens: PathBuf,
    pub(super) socket: PathBuf,
}

pub(super) fn token(of: &str) -> String {
    format!("0123456789abcdef-of-{of}")
}

/// A file of tokens with those of these callers.
pub(super) fn tokens_of(callers: &[&str]) -> String {
    callers.iter().map(|name| format!("{name} {}\n", token(name))).collect()
}

impl Guarded {
    pub(super) async fn start(name: &str) -> Result<Guarded> {
        let place = Place::new(name, TopicSpec::store())?;
        let dir = place.dir.path();
        let [tokens, secret, config, socket] =
            ["tokens", "secret", "outrigger.toml", "s"].map(|name| dir.join(name));
        fs::write(&tokens, tokens_of(&CALLERS))?;
        fs::write(&secret, SECRET)?;
        let metrics = free_port()?;
        // SAFETY: it takes nothing and cannot fail.
        let own = unsafe { libc::geteuid() };
        let settings = format!(
            "tokens_file = '{}'\npeer_secret_file = '{}'\nsocket = '{}'\nsocket_mode = '0666'\n\
             metrics = '127.0.0.1:{metrics}'\n[[store]]\nname = '{STORE}'\ntopic = '{}'\n\
             [[access]]\nwho = ['uid:{own}']\nmay = ['peer']\n{RULES}",
            tokens.display(),
            secret.display(),
            socket.display(),
            place.topic.name()
        );
        fs::write(&config, settings)?;
        let path = config.to_str().context("a path of this test is text")?;
        let args = ["--bootstrap", &place.bootstrap, "--config", path];
        let mut node = Node::with_settings(dir, "one", &args)?;
        node.start().await?;
        let guarded = Guarded { node, metrics, config, tokens, socket, place };
        guarded.until_ready().await?;
        Ok(guarded)
    }

    async fn until_ready(&self) -> Result<()> {
        let client = self.client("all").await?;
        let mut states = client.store(STORE).watch_status(crate::site::POLL).await?;
        while let Some(status) = states.next().await {
            if status?.phase() == outrigger_client::proto::v1::Phase::Ready {
                return Ok(());
            }
        }
        anyhow::bail!("the node ended:\n{}", self.node.log())
    }

    pub(super) async fn client(&self, caller: &str) -> Result<outrigger_client::Client> {
        let client = outrigger_client::Client::connect(&self.node.url()).await?;
        client.set_bearer_token(Some(&token(caller)))?;
        Ok(client)
    }

    pub(super) async fn over_tcp(&self) -> Result<Channel> {
        Ok(Endpoint::from_shared(self.node.url())?.connect().await?)
    }

    pub(super) async fn over_socket(&self) -> Result<Channel> {
        Ok(Endpoint::from_shared(format!("unix://{}", self.socket.display()))?.connect().await?)
    }
}

/// A request with a bearer token, where there is one.
pub(super) fn said<T>(message: T, bearer: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(bearer) = bearer {
        let header = format!("Bearer {bearer}").parse().expect("it is ASCII");
        request.metadata_mut().insert("authorization", header);
    }
    request
}

/// Makes any call with one message. Returns why it failed: of a Write stream also why its only item did.
pub(super) async fn asked(
    channel: &Channel,
    rpc: Rpc,
    message: Bytes,
    bearer: Option<&str>,
) -> Result<(), ErrorDetail> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("the node listens");
    let path = PathAndQuery::from_static(rpc.path());
    let request = said(tokio_stream::iter([message]), bearer);
    let answer = async {
        let mut answers = grpc.streaming(request, path, Raw).await?.into_inner();
        let mut last = None;
        while let Some(answer) = answers.next().await {
            last = Some(answer?);
        }
        Ok(last)
    };
    let answer: Result<Option<Bytes>, Status> =
        tokio::time::timeout(crate::e2e::MINUTE, answer).await.expect("it is answered");
    let detail = |status: Status| {
        let plain = ErrorDetail::new(Reason::Unspecified, status.message());
        ErrorDetail::from_status(&status).unwrap_or(plain)
    };
    match (rpc, answer.map_err(detail)?) {
        (Rpc::Write, Some(replies)) => only_reply(replies),
        (_, _) => Ok(()),
    }
}

fn only_reply(replies: Bytes) -> Result<(), ErrorDetail> {
    use outrigger_proto::v1::WriteResponse;
    use outrigger_proto::v1::write_reply::Outcome;
    use prost::Message;
    let replies = WriteResponse::decode(replies).expect("it is one").replies;
    match replies.into_iter().next().and_then(|reply| reply.outcome).expect("it has an outcome") {
        Outcome::Revision(_) => Ok(()),
        Outcome::Error(detail) => Err(detail),
    }
}
