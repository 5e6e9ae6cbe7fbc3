//! A read that the own copy does not answer yet, asked of peers: their answers are passed on, and say whose they are.

use std::time::Duration;

use outrigger_core::topic::TopicId;
use outrigger_proto::limits::ROW_BYTES_DEFAULT;
use outrigger_proto::peer::v1::forward_get_response::Outcome as GetOutcome;
use outrigger_proto::peer::v1::forward_scan_response::Part as ScanPart;
use outrigger_proto::peer::v1::{
    ForwardGetRequest, ForwardGetResponse, ForwardScanRequest, ForwardScanResponse,
};
use outrigger_proto::v1::{
    CopyState, ErrorDetail, GetRequest, GetResponse, ReadOptions, Reason, ScanRequest, ScanResponse,
};
use tokio::sync::mpsc;
use tokio::sync::mpsc::OwnedPermit;
use tokio::time::timeout;
use tonic::{Response, Status, Streaming};

use super::answers::{Answers, Part};
use super::read::Missed;
use super::room::Share;
use super::scan::{BATCHES_AHEAD, IDLE_MAX};
use super::service::Service;
use super::{convert, error};
use crate::forward::{Given, Kind, Outcome, SMALL_ROW_BYTES, Unanswered, target};
use crate::peer;
use crate::runtime::StoreHandle;

/// How long a read waits until the log has told the topic's id, without which nobody could tell whose copy answers.
const TOPIC_KNOWN_MAX: Duration = Duration::from_secs(1);

pub(super) async fn get(
    service: &Service,
    store: &StoreHandle,
    request: GetRequest,
    missed: Missed,
) -> Result<GetResponse, ErrorDetail> {
    let Missed { detail, forward } = missed;
    let (Some(forwarder), Some(forward)) = (&service.forwarder, forward) else {
        return Err(detail);
    };
    let Some(topic) = topic(store).await else { return Err(detail) };
    let bytes_max = row_bytes_max(request.read.as_ref());
    let get = |row_bytes_max: u64| {
        let read = ReadOptions {
            row_bytes_max: Some(row_bytes_max),
            ..request.read.clone().unwrap_or_default()
        };
        let (store, key) = (store.name().to_owned(), request.key.clone());
        let request = Some(GetRequest { store, key, read: Some(read) });
        ForwardGetRequest { target: Some(target(topic)), request }
    };
    let asked = forwarder.ask(store.name(), Kind::Get, forward, |mut ask| {
        let small = ask.request(get(bytes_max.min(SMALL_ROW_BYTES)));
        let get = &get;
        async move {
            match outcome(ask.client.forward_get(small).await?)? {
                Outcome::Refused(detail)
                    if detail.reason() == Reason::RowTooLarge && bytes_max > SMALL_ROW_BYTES =>
                {
                    let _one_at_a_time = forwarder.large_row().await;
                    let large = ask.request(get(bytes_max));
                    outcome(ask.client.forward_get(large).await?)
                }
                other => Ok(other),
            }
        }
    });
    let Given { mut answer, by, place: _ } = asked.await.map_err(|why| told(detail, why))?;
    name(&mut answer.copy, &by, topic)?;
    Ok(answer)
}

fn outcome(answer: Response<ForwardGetResponse>) -> Result<Outcome<GetResponse>, Status> {
    match answer.into_inner().outcome {
        Some(GetOutcome::Answer(answer)) => Ok(Outcome::Answer(answer)),
        Some(GetOutcome::Refused(detail)) => Ok(Outcome::Refused(detail)),
        None => Err(no_outcome()),
    }
}

pub(super) async fn scan(
    service: &Service,
    store: &StoreHandle,
    request: ScanRequest,
    missed: Missed,
    share: &Share,
) -> Result<Answers<ScanResponse>, ErrorDetail> {
    let Missed { detail, forward } = missed;
    let (Some(forwarder), Some(forward)) = (&service.forwarder, forward) else {
        return Err(detail);
    };
    let Some(topic) = topic(store).await else { return Err(detail) };
    let Some(permit) = share.try_scan() else {
        return Err(error::overloaded("scans"));
    };
    // Several scans are on their way at once, so none may hold more than a row of the usual bound.
    let bytes_max = row_bytes_max(request.read.as_ref()).min(bytes(ROW_BYTES_DEFAULT));
    let read =
        ReadOptions { row_bytes_max: Some(bytes_max), ..request.read.clone().unwrap_or_default() };
    let request = ScanRequest { store: store.name().to_owned(), read: Some(read), ..request };
    let asked = forwarder.ask(store.name(), Kind::Scan, forward, |mut ask| {
        let (target, request) = (Some(target(topic)), Some(request.clone()));
        let message = ForwardScanRequest { target, request };
        async move {
            // The scan itself may take longer than its first answer.
            let mut request = ask.request(message);
            request.metadata_mut().remove("grpc-timeout");
            let mut stream = ask.client.forward_scan(request).await?.into_inner();
            match next(&mut stream).await? {
                Some(ScanPart::Answer(first)) => Ok(Outcome::Answer((first, stream))),
                Some(ScanPart::Refused(detail)) => Ok(Outcome::Refused(detail)),
                None => Err(no_outcome()),
            }
        }
    });
    let given = asked.await.map_err(|why| told(detail, why))?;
    let Given { answer: (mut first, stream), by, place } = given;
    name(&mut first.copy, &by, topic)?;
    let (parts, answers) = Answers::channel(BATCHES_AHEAD + 1, &service.ending);
    let end = parts.clone().try_reserve_owned().expect("nothing was sent yet");
    let ending = service.ending.clone();
    service.tasks.spawn(async move {
        let _held = (permit, place);
        ending.run_until_cancelled(pass_on(first, stream, parts, end, by)).await
    });
    Ok(answers)
}

/// The id of the store's topic, once the log has told it. A wiped node knows it some moments after it begins.
async fn topic(store: &StoreHandle) -> Option<TopicId> {
    let mut changes = store.status_changes();
    let told = async {
        loop {
            if let Some(topic) = store.gate().topic {
                return Some(topic);
            }
            changes.changed().await.ok()?;
        }
    };
    timeout(TOPIC_KNOWN_MAX, told).await.ok().flatten()
}

fn row_bytes_max(options: Option<&ReadOptions>) -> u64 {
    bytes(convert::row_bytes_max(options))
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).expect("a size fits 64 bits")
}

/// Passes a scan's answers on at the pace of its caller, which holds the peer back too.
async fn pass_on(
    first: ScanResponse,
    mut stream: Streaming<ForwardScanResponse>,
    parts: mpsc::Sender<Part<ScanResponse>>,
    end: OwnedPermit<Part<ScanResponse>>,
    by: String,
) {
    let mut answer = first;
    let last = loop {
        match timeout(IDLE_MAX, parts.send(Part::Message(answer))).await {
            Ok(Ok(())) => {}
            // Nobody is there to hear of it.
            Ok(Err(_gone)) => return,
            Err(_idle) => break Err(error::scan_not_read(IDLE_MAX)),
        }
        let next = tokio::select! {
            biased;
            () = parts.closed() => return,
            next = timeout(IDLE_MAX, next(&mut stream)) => next,
        };
        answer = match next {
            Ok(Ok(Some(ScanPart::Answer(next)))) => next,
            Ok(Ok(Some(ScanPart::Refused(detail)))) => break Err(said_by(&by, detail)),
            Ok(Ok(None)) => break Ok(()),
            Ok(Err(status)) => break Err(broken_off(&by, status.message())),
            Err(_silent) => break Err(broken_off(&by, "it says nothing")),
        };
    };
    end.send(Part::Last(last.map_err(Status::from)));
}

/// The next part; none: the stream has ended well.
async fn next(stream: &mut Streaming<ForwardScanResponse>) -> Result<Option<ScanPart>, Status> {
    match stream.message().await? {
        Some(ForwardScanResponse { part: Some(part) }) => Ok(Some(part)),
        Some(ForwardScanResponse { part: None }) => Err(no_outcome()),
        None => Ok(None),
    }
}

fn no_outcome() -> Status {
    Status::internal("its answer has nothing in it")
}

/// Says whose copy it was.
fn name(copy: &mut Option<CopyState>, by: &str, topic: TopicId) -> Result<(), ErrorDetail> {
    let copy = copy.get_or_insert_default();
    let of = copy.token.as_ref().map(|token| &token.topic_id[..]).unwrap_or_default();
    if topic.0[..] != *of {
        return Err(broken_off(by, "it answers from a copy of another topic"));
    }
    by.clone_into(&mut copy.given_by);
    Ok(())
}

/// What the caller is told when no peer has answered: what its own node says, and why no other did; or what a READY one
/// says of the read.
fn told(own: ErrorDetail, why: Unanswered) -> ErrorDetail {
    match why {
        Unanswered::Said { by, detail } => said_by(&by, detail),
        Unanswered::Full => error::overloaded("forwarded reads"),
        Unanswered::Nobody(reasons) => {
            let message = format!("{}; no peer has answered it either: {reasons}", own.message);
            ErrorDetail { message, ..own }
        }
    }
}

/// A peer's words are shown as such, and not in any length.
fn said_by(by: &str, said: ErrorDetail) -> ErrorDetail {
    match said.reason() {
        // That node stops, not this one.
        Reason::Draining => broken_off(by, &said.message),
        reason => ErrorDetail {
            what_to_do: peer::told(&said.what_to_do),
            ..ErrorDetail::new(reason, format!("the peer {by}: {}", peer::told(&said.message)))
        },
    }
}

fn broken_off(by: &str, because: &str) -> ErrorDetail {
    let because = peer::told(because);
    let message = format!("the peer {by}, which answers for this node, broke off: {because}");
    let what_to_do = "read again".to_owned();
    ErrorDetail { what_to_do, ..ErrorDetail::new(Reason::NotReady, message) }
}
