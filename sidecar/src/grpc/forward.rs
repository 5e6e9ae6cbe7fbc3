//! A read that the own copy does not answer yet, asked of peers: their answers are passed on, and say whose they are.

use outrigger_core::gate::Gate;
use outrigger_proto::peer::v1::forward_get_response::Outcome as GetOutcome;
use outrigger_proto::peer::v1::forward_scan_response::Part as ScanPart;
use outrigger_proto::peer::v1::{ForwardGetRequest, ForwardScanRequest, ForwardScanResponse};
use outrigger_proto::v1::{
    CopyState, ErrorDetail, GetRequest, GetResponse, Reason, ScanRequest, ScanResponse,
};
use tokio::sync::mpsc;
use tokio::sync::mpsc::OwnedPermit;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::answers::{Answers, Part};
use super::error;
use super::read::Missed;
use super::room::Share;
use super::scan::{BATCHES_AHEAD, IDLE_MAX};
use super::service::Service;
use crate::forward::{Given, Outcome, Unanswered, target};
use crate::runtime::StoreHandle;

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
    let request = GetRequest { store: store.name().to_owned(), ..request };
    let target = target(store.topic(), &store.gate());
    let asked = forwarder.ask(store.name(), forward, |mut peer| {
        let (target, request) = (Some(target.clone()), Some(request.clone()));
        let request = forwarder.request(ForwardGetRequest { target, request });
        async move {
            match peer.forward_get(request).await?.into_inner().outcome {
                Some(GetOutcome::Answer(answer)) => Ok(Outcome::Answer(answer)),
                Some(GetOutcome::Refused(detail)) => Ok(Outcome::Refused(detail)),
                None => Err(no_outcome()),
            }
        }
    });
    let Given { mut answer, by, place: _ } = asked.await.map_err(|why| told(detail, why))?;
    name(&mut answer.copy, &by, &store.gate())?;
    Ok(answer)
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
    let Some(permit) = share.try_scan() else {
        return Err(error::overloaded("scans"));
    };
    let request = ScanRequest { store: store.name().to_owned(), ..request };
    let target = target(store.topic(), &store.gate());
    let asked = forwarder.ask(store.name(), forward, |mut peer| {
        let (target, request) = (Some(target.clone()), Some(request.clone()));
        let request = forwarder.request(ForwardScanRequest { target, request });
        async move {
            let mut stream = peer.forward_scan(request).await?.into_inner();
            match next(&mut stream).await? {
                Some(ScanPart::Answer(first)) => Ok(Outcome::Answer((first, stream))),
                Some(ScanPart::Refused(detail)) => Ok(Outcome::Refused(detail)),
                None => Err(no_outcome()),
            }
        }
    });
    let given = asked.await.map_err(|why| told(detail, why))?;
    let Given { answer: (mut first, stream), by, place } = given;
    name(&mut first.copy, &by, &store.gate())?;
    let (parts, answers) = Answers::channel(BATCHES_AHEAD + 1, &service.ending);
    let end = parts.clone().try_reserve_owned().expect("nothing was sent yet");
    let ending = service.ending.clone();
    service.tasks.spawn(async move {
        let _held = (permit, place);
        ending.run_until_cancelled(pass_on(first, stream, parts, end, by)).await
    });
    Ok(answers)
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
        answer = match next(&mut stream).await {
            Ok(Some(ScanPart::Answer(next))) => next,
            Ok(Some(ScanPart::Refused(detail))) => break Err(detail),
            Ok(None) => break Ok(()),
            Err(status) => break Err(broken_off(&by, &status)),
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

/// Says whose copy it was. One of another topic is no answer: the own node has learnt of its topic meanwhile.
fn name(copy: &mut Option<CopyState>, by: &str, gate: &Gate) -> Result<(), ErrorDetail> {
    let copy = copy.get_or_insert_default();
    let of = copy.token.as_ref().map(|token| &token.topic_id[..]).unwrap_or_default();
    if gate.topic.is_some_and(|own| own.0[..] != *of) {
        let message = format!("the peer {by} has answered from a copy of another topic");
        return Err(ErrorDetail::new(Reason::NotReady, message));
    }
    by.clone_into(&mut copy.given_by);
    Ok(())
}

/// What the caller is told when no peer has answered: what its own node says, and why no other did.
fn told(own: ErrorDetail, why: Unanswered) -> ErrorDetail {
    match why {
        Unanswered::Read(detail) => detail,
        Unanswered::Nobody(reasons) => {
            let message = format!("{}; no peer has answered it either: {reasons}", own.message);
            ErrorDetail { message, ..own }
        }
    }
}

fn broken_off(by: &str, status: &Status) -> ErrorDetail {
    let message = format!(
        "the peer {by}, which answered for this node, broke off: {}",
        crate::peer::told(status.message())
    );
    ErrorDetail {
        what_to_do: "scan again".to_owned(),
        ..ErrorDetail::new(Reason::NotReady, message)
    }
}
