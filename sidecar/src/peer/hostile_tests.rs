//! Peers that know the secret and say what they should not: what each did is told, nothing of it is believed, and the
//! next one is asked.

use std::path::Path;
use std::sync::Arc;

use outrigger_core::offset::Generation;
use outrigger_proto::peer::v1::checkpoint_response::Part;
use outrigger_proto::peer::v1::peer_server::{Peer, PeerServer};
use outrigger_proto::peer::v1::{
    CheckpointChunk, CheckpointRequest, CheckpointResponse, ForwardGetRequest, ForwardGetResponse,
    ForwardScanRequest, ForwardScanResponse, PeerDigestRequest, PeerDigestResponse,
    PeerStatusRequest, PeerStatusResponse, PeerStoreStatus,
};
use tokio::net::TcpListener;
use tokio_stream::Iter;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use xxhash_rust::xxh3::xxh3_64;

use super::manifest::tests::wanted;
use super::*;

type Said = Result<CheckpointResponse, Status>;

/// It says the same whatever it is asked.
struct Script(Vec<Said>);

#[tonic::async_trait]
impl Peer for Script {
    type CheckpointStream = Iter<std::vec::IntoIter<Said>>;
    type ForwardScanStream = Iter<std::vec::IntoIter<Result<ForwardScanResponse, Status>>>;

    async fn checkpoint(
        &self,
        _request: Request<CheckpointRequest>,
    ) -> Result<Response<Self::CheckpointStream>, Status> {
        Ok(Response::new(tokio_stream::iter(self.0.clone())))
    }

    async fn forward_get(
        &self,
        _request: Request<ForwardGetRequest>,
    ) -> Result<Response<ForwardGetResponse>, Status> {
        Err(Status::unimplemented("nobody asks it"))
    }

    async fn forward_scan(
        &self,
        _request: Request<ForwardScanRequest>,
    ) -> Result<Response<Self::ForwardScanStream>, Status> {
        Err(Status::unimplemented("nobody asks it"))
    }

    async fn peer_status(
        &self,
        _request: Request<PeerStatusRequest>,
    ) -> Result<Response<PeerStatusResponse>, Status> {
        let store = |name: &str| PeerStoreStatus {
            store: name.to_owned(),
            phase: 99,
            stalls: vec![99; 10_000],
            restore_fraction: Some(f64::NAN),
            ..PeerStoreStatus::default()
        };
        Ok(Response::new(PeerStatusResponse {
            version: "\x1b[2J".repeat(10_000),
            stores: ["notes", "another", "notes"].map(store).to_vec(),
            ..PeerStatusResponse::default()
        }))
    }

    async fn peer_digest(
        &self,
        _request: Request<PeerDigestRequest>,
    ) -> Result<Response<PeerDigestResponse>, Status> {
        Err(Status::unimplemented("nobody asks it"))
    }
}

async fn peer(script: Vec<Said>) -> PeerAddress {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = PeerAddress::parse(&format!("http://{}", tcp.local_addr().unwrap())).unwrap();
    let router = tonic::transport::Server::builder().add_service(PeerServer::new(Script(script)));
    // It ends with the test's runtime.
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(tcp)));
    address
}

fn said(part: Part) -> Said {
    Ok(CheckpointResponse { part: Some(part) })
}

fn header(files: &[(&str, u64)]) -> Said {
    said(Part::Header(manifest::tests::header(files)))
}

fn chunk(file: u32, offset: u64, data: &[u8]) -> Said {
    let (xxh3, data) = (xxh3_64(data), data.to_vec().into());
    said(Part::Chunk(CheckpointChunk { file, offset, data, xxh3 }))
}

fn damaged() -> Said {
    said(Part::Chunk(CheckpointChunk { file: 0, offset: 0, xxh3: 1, data: vec![1; 3].into() }))
}

async fn take(data: &Path, addresses: Vec<PeerAddress>) -> Result<String, TakeError> {
    let secret = Some(Secret::new("of-all-nodes-of-the-test").unwrap());
    let taker =
        Taker::new(&PeerConfig { addresses, secret, ..PeerConfig::default() }, data).unwrap();
    let wanted = Wanted { generation: Generation(1), identity: wanted(), suspects: vec![] };
    let taken = taker.take(wanted, Arc::new(|_| {}), &CancellationToken::new()).await;
    taken.map(|taken| taken.peer)
}

#[tokio::test]
async fn what_a_peer_must_not_say_is_told_and_the_next_one_is_asked() {
    let three = || header(&[("1.sst", 3)]);
    let long = "no\u{1b}[2J".repeat(500);
    let cases: Vec<(Vec<Said>, &str)> = vec![
        (vec![], "does not send a header first"),
        (vec![Ok(CheckpointResponse { part: None })], "does not send a header first"),
        (vec![chunk(0, 0, b"abc")], "does not send a header first"),
        (vec![three(), three()], "does not send a header first"),
        (vec![three()], "it ended after 0 of 3 bytes"),
        (vec![three(), chunk(0, 0, b"ab")], "came where those of file 0 at 0 are due"),
        (vec![three(), chunk(0, 0, b"")], "came where those of file 0 at 0 are due"),
        (vec![three(), chunk(9, 0, b"abc")], "came where those of file 0 at 0 are due"),
        (vec![three(), chunk(0, u64::MAX, b"abc")], "came where those of file 0 at 0 are due"),
        (
            vec![three(), chunk(0, 0, b"abc"), chunk(0, 3, b"d")],
            "came where those of file 1 at 0 are due",
        ),
        (vec![three(), damaged()], "is damaged: its checksum is another"),
        (vec![header(&[("../x", 3)])], "no name of a copy's file"),
        (vec![header(&[("1.sst", u64::MAX / 2)])], "are free"),
        (vec![Err(Status::unavailable("the node is not READY"))], "the node is not READY"),
        (vec![Err(Status::internal(long))], "Internal: no\\x1b[2J"),
    ];
    for (script, why) in cases {
        let data = tempfile::tempdir().unwrap();
        let peers = vec![peer(script).await, peer(vec![three(), chunk(0, 0, b"abc")]).await];
        let first = peers[0].clone();
        let refused = take(data.path(), vec![first]).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{why:?} is not in {refused:?}");
        assert!(refused.len() < 2_000 && !refused.contains('\u{1b}'), "{refused:?}");
        take(data.path(), peers).await.expect(why);
        let fetched = data.path().join("notes/fetching-g1");
        assert_eq!(std::fs::read(fetched.join("1.sst")).unwrap(), b"abc", "{why}");
        let beside = std::fs::read_dir(data.path().join("notes")).unwrap().count();
        assert_eq!((beside, std::fs::read_dir(data.path()).unwrap().count()), (1, 1), "{why}");
    }
}

#[tokio::test]
async fn a_copy_that_came_whole_is_taken_however_its_stream_ends() {
    let script = vec![
        header(&[("1.sst", 3), ("CURRENT", 0)]),
        chunk(0, 0, b"abc"),
        Err(Status::unavailable("the connection broke")),
    ];
    let data = tempfile::tempdir().unwrap();
    take(data.path(), vec![peer(script).await]).await.unwrap();
}

#[tokio::test]
async fn of_what_a_peer_says_of_itself_little_is_kept() {
    let config = PeerConfig {
        addresses: vec![peer(vec![]).await],
        secret: Some(Secret::new("of-all-nodes-of-the-test").unwrap()),
        ..PeerConfig::default()
    };
    let roll = RollCall::new(&config, vec!["notes".to_owned()]).expect("there is a peer");
    let asked = async {
        loop {
            if let Ok(said) = &roll.now()[0].said {
                return said.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(20), asked).await.expect("it answers");
    assert!(said.version.len() <= 1_024 && !said.version.contains('\x1b'), "{}", said.version);
    let [store] = &said.stores[..] else { panic!("one was asked for: {:?}", said.stores) };
    assert_eq!((&*store.store, &*store.phase), ("notes", "99"));
    assert!(store.stalls.len() <= 32);
    let shown = crate::shown::json::peer(&roll.now()[0]).to_string();
    assert!(shown.len() < 4_096, "{shown}");
}
