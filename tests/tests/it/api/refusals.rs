//! Every refusal has our details, also that of what never becomes a call, as a caller without our library meets it.

use bytes::Bytes;
use outrigger_proto::limits::REQUEST_BYTES_MAX;
use outrigger_proto::v1::{
    CancelRequest, ContinueRequest, DeleteRequest, ErrorDetail, GetRequest, PutRequest,
    PutResponse, Reason, ScanRequest, StatusRequest, ThrottleRequest, VerifyRequest,
    WatchStatusRequest, WriteItem, WriteRequest,
};
use outrigger_proto::{MAY_HAVE_HAPPENED_METADATA, REASON_METADATA};
use tokio_stream::StreamExt;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::{One, in_time};

/// A codec that sends any bytes as a message, and takes any for one.
#[derive(Clone, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, bytes: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use bytes::BufMut;
        out.put(bytes);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        use bytes::Buf;
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }
}

/// Makes a call of any method with these messages. Returns how many answers came until its end.
pub(crate) async fn call(
    channel: &Channel,
    method: &str,
    messages: Vec<Bytes>,
) -> Result<usize, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("the node listens");
    let path = PathAndQuery::try_from(format!("/{method}")).expect("a path");
    let request = Request::new(tokio_stream::iter(messages));
    let mut answers = in_time(grpc.streaming(request, path, Raw)).await?.into_inner();
    let mut count = 0;
    while let Some(answer) = in_time(answers.next()).await {
        answer?;
        count += 1;
    }
    Ok(count)
}

/// The reason of a refusal, which has everything that a caller needs, as details and as plain text.
fn told(what: &str, result: Result<usize, Status>) -> Reason {
    let status = result.expect_err(what);
    let detail = ErrorDetail::from_status(&status);
    let detail = detail.unwrap_or_else(|| panic!("{what}: no details: {status:?}"));
    assert_eq!(detail.reason().code(), status.code(), "{what}: {detail:?}");
    assert!(!detail.may_have_happened, "{what}: {detail:?}");
    assert!(!detail.message.is_empty() && !detail.what_to_do.is_empty(), "{what}: {detail:?}");
    let plain = |name| status.metadata().get(name).and_then(|text| text.to_str().ok());
    assert_eq!(plain(REASON_METADATA), Some(detail.reason().as_str_name()), "{what}");
    assert_eq!(plain(MAY_HAVE_HAPPENED_METADATA), Some("false"), "{what}");
    detail.reason()
}

const METHODS: [&str; 12] = [
    "outrigger.v1.Store/Get",
    "outrigger.v1.Store/Put",
    "outrigger.v1.Store/Delete",
    "outrigger.v1.Store/Scan",
    "outrigger.v1.Store/Write",
    "outrigger.v1.Admin/Status",
    "outrigger.v1.Admin/WatchStatus",
    "outrigger.v1.Admin/Verify",
    "outrigger.v1.Admin/Throttle",
    "outrigger.v1.Admin/Cancel",
    "outrigger.v1.Admin/Continue",
    "outrigger.v1.Admin/Release",
];

async fn channel(one: &One) -> Channel {
    let endpoint = Endpoint::from_shared(one.node.http.clone()).expect("an address");
    endpoint.connect().await.expect("the node listens")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_or_too_large_is_refused_by_every_method_with_details() {
    let one = One::ready().await;
    let channel = channel(&one).await;
    // A field that says it is longer than the message.
    let nonsense = Bytes::from_static(b"\x0a\xff\x01x");
    let large = Bytes::from(vec![0; REQUEST_BYTES_MAX + 1]);
    for method in METHODS {
        let refused = call(&channel, method, vec![nonsense.clone()]).await;
        assert_eq!(told(method, refused), Reason::InvalidRequest, "{method}");
        let refused = call(&channel, method, vec![large.clone()]).await;
        assert_eq!(told(method, refused), Reason::RequestTooLarge, "{method}");
    }
    let streams = ["outrigger.v1.Store/Write", "outrigger.v1.Admin/Verify"];
    for method in METHODS.iter().filter(|method| !streams.contains(method)) {
        let refused = call(&channel, method, vec![]).await;
        assert_eq!(told(method, refused), Reason::InvalidRequest, "{method}: no message");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_node_does_not_know_is_refused_with_details() {
    let one = One::ready().await;
    let channel = channel(&one).await;
    for method in ["outrigger.v1.Store/Fly", "outrigger.v2.Store/Get", "other.Service/Call"] {
        let refused = call(&channel, method, vec![Bytes::new()]).await;
        assert_eq!(told(method, refused), Reason::Unimplemented, "{method}");
    }
    let mut compressed = Request::new(put("k"));
    compressed.metadata_mut().insert("grpc-encoding", "br".parse().expect("a value"));
    let refused = one.node.rows().await.put(compressed).await;
    assert_eq!(told("compressed", refused.map(|_| 0)), Reason::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_refuses_an_unknown_store_or_a_wrong_setting_with_details() {
    use prost::Message;

    let one = One::ready().await;
    let channel = channel(&one).await;
    let store = || "other".to_owned();
    let item = WriteItem { key: Bytes::new(), action: None };
    let large_rows = ScanRequest { large_rows: 77, ..ScanRequest::default() };
    let waits = |wait_ms_max| PutRequest { wait_ms_max, ..put("k") };
    let at_once = WriteRequest { wait_ms_max: Some(0), ..WriteRequest::default() };
    let table: [(&str, Vec<u8>, Reason); 13] = [
        (
            "Store/Get",
            GetRequest { store: store(), ..Default::default() }.encode_to_vec(),
            Reason::UnknownStore,
        ),
        (
            "Store/Put",
            PutRequest { store: store(), ..Default::default() }.encode_to_vec(),
            Reason::UnknownStore,
        ),
        ("Store/Put", waits(Some(0)).encode_to_vec(), Reason::InvalidRequest),
        (
            "Store/Delete",
            DeleteRequest { store: store(), ..Default::default() }.encode_to_vec(),
            Reason::UnknownStore,
        ),
        ("Store/Scan", large_rows.encode_to_vec(), Reason::InvalidRequest),
        (
            "Store/Write",
            WriteRequest { store: store(), items: vec![item], ..Default::default() }
                .encode_to_vec(),
            Reason::UnknownStore,
        ),
        ("Store/Write", at_once.encode_to_vec(), Reason::InvalidRequest),
        (
            "Admin/Status",
            StatusRequest { store: store(), with_digest: false }.encode_to_vec(),
            Reason::UnknownStore,
        ),
        (
            "Admin/WatchStatus",
            WatchStatusRequest { store: store(), interval_ms: 0 }.encode_to_vec(),
            Reason::UnknownStore,
        ),
        ("Admin/Verify", VerifyRequest { ask: None }.encode_to_vec(), Reason::InvalidRequest),
        (
            "Admin/Throttle",
            ThrottleRequest { bytes_per_second: Some(0) }.encode_to_vec(),
            Reason::InvalidRequest,
        ),
        (
            "Admin/Cancel",
            CancelRequest { store: String::new() }.encode_to_vec(),
            Reason::WrongPhase,
        ),
        (
            "Admin/Continue",
            ContinueRequest { store: String::new() }.encode_to_vec(),
            Reason::WrongPhase,
        ),
    ];
    for (method, message, reason) in table {
        let refused = call(&channel, &format!("outrigger.v1.{method}"), vec![message.into()]).await;
        assert_eq!(told(method, refused), reason, "{method}");
    }
    // The connection can still be used.
    let written = one.node.rows().await.put(put("k")).await.expect("a write");
    let PutResponse { revision, .. } = written.into_inner();
    assert_eq!(revision.expect("a revision").offset, 0, "nothing else reached the log");
}

fn put(key: &str) -> PutRequest {
    super::put("notes", key, "v")
}
