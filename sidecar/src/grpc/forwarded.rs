//! A read that another node has forwarded: answered from the own copy, or refused. It is never forwarded again.

use outrigger_proto::peer::v1::forward_get_response::Outcome;
use outrigger_proto::peer::v1::forward_scan_response::Part as ScanPart;
use outrigger_proto::peer::v1::{
    ForwardGetRequest, ForwardGetResponse, ForwardScanRequest, ForwardScanResponse, ForwardTarget,
};
use outrigger_proto::v1::{ErrorDetail, Reason, ScanResponse};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::Status;

use super::answers::{Answers, Part};
use super::deadline::CallDeadline;
use super::room::Share;
use super::service::Service;
use super::{convert, get, scan};
use crate::runtime::StoreHandle;

pub(super) async fn get(
    service: &Service,
    forwarded: ForwardGetRequest,
    deadline: CallDeadline,
) -> ForwardGetResponse {
    let ForwardGetRequest { target, request } = forwarded;
    let request = request.unwrap_or_default();
    let answered = match store(service, &request.store, target) {
        Ok(store) => get::from_own_copy(store, &request, deadline).await,
        Err(detail) => Err(detail.into()),
    };
    let outcome = match answered {
        Ok(answer) => Outcome::Answer(answer),
        Err(missed) => Outcome::Refused(missed.detail),
    };
    ForwardGetResponse { outcome: Some(outcome) }
}

pub(super) async fn scan(
    service: &Service,
    forwarded: ForwardScanRequest,
    deadline: CallDeadline,
    share: &Share,
) -> Answers<ForwardScanResponse> {
    let ForwardScanRequest { target, request } = forwarded;
    let request = request.unwrap_or_default();
    let (parts, answers) = Answers::channel(scan::BATCHES_AHEAD, &service.ending);
    let found = store(service, &request.store, target)
        .and_then(|store| Ok((store, convert::range(request.keys.clone())?)));
    let answered = match found {
        Ok((store, range)) => {
            scan::from_own_copy(service, store, &request, range, deadline, share).await
        }
        Err(detail) => Err(detail.into()),
    };
    let ending = service.ending.clone();
    service.tasks.spawn(async move {
        let passing = async {
            match answered {
                Ok(scanned) => pass_on(scanned, parts).await,
                Err(missed) => refuse(missed.detail, &parts).await,
            }
        };
        ending.run_until_cancelled(passing).await
    });
    answers
}

/// Passes a scan on. A failure in it is one of its parts, with all that is known of it.
async fn pass_on(
    mut scanned: Answers<ScanResponse>,
    parts: mpsc::Sender<Part<ForwardScanResponse>>,
) {
    loop {
        let answer = tokio::select! {
            biased;
            () = parts.closed() => return,
            answer = scanned.next() => answer,
        };
        let answer = match answer {
            Some(Ok(answer)) => answer,
            Some(Err(status)) => return refuse(detail(&status), &parts).await,
            None => break,
        };
        let answer = ForwardScanResponse { part: Some(ScanPart::Answer(answer)) };
        // Who takes nothing is not waited for: its scan ends, which held a snapshot.
        match parts.send_timeout(Part::Message(answer), scan::IDLE_MAX).await {
            Ok(()) => {}
            Err(_gone_or_idle) => return,
        }
    }
    // Perhaps nobody is there any more.
    let _gone = parts.send(Part::Last(Ok(()))).await;
}

async fn refuse(detail: ErrorDetail, parts: &mpsc::Sender<Part<ForwardScanResponse>>) {
    let refused = ForwardScanResponse { part: Some(ScanPart::Refused(detail)) };
    if parts.send(Part::Message(refused)).await.is_ok() {
        let _gone = parts.send(Part::Last(Ok(()))).await;
    }
}

fn detail(status: &Status) -> ErrorDetail {
    ErrorDetail::from_status(status)
        .unwrap_or_else(|| ErrorDetail::new(Reason::StoreFailed, status.message()))
}

/// The store that is meant, if it is of the topic that the other node's is of. An id is of one topic of one cluster.
fn store<'a>(
    service: &'a Service,
    name: &str,
    target: Option<ForwardTarget>,
) -> Result<&'a StoreHandle, ErrorDetail> {
    let store = &service.stores.one(name)?.handle;
    let ForwardTarget { topic_id } = target.unwrap_or_default();
    match store.gate().topic {
        Some(own) if own.0[..] != topic_id => {
            let message = format!("its store {} is of another topic", store.name());
            Err(ErrorDetail::new(Reason::NotReady, message))
        }
        // What it has is not in use before the log has told its topic: it is refused as that.
        Some(_) | None => Ok(store),
    }
}
