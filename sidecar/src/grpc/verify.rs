//! Verify: the copy at one position, summed in buckets, and rows of some buckets.
//!
//! The pin belongs to the stream: whoever leaves, however suddenly, releases it. Only one copy is read at a time, and
//! no thread waits for a slow caller: a page is read when it is asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use outrigger_core::digest::{BUCKETS, Buckets, bucket_of, row_hash};
use outrigger_core::offset::Revision;
use outrigger_core::store::{Scan, View};
use outrigger_core::token::Token;
use outrigger_proto::Rpc;
use outrigger_proto::limits::{BATCH_BYTES, BATCH_LEN_MAX};
use outrigger_proto::v1::verify_request::Ask;
use outrigger_proto::v1::verify_response::Answer;
use outrigger_proto::v1::{
    BucketSum, ErrorDetail, PinRequest, PinnedCopy, PinnedRow, PinnedRows, PinnedRowsRequest,
    VerifyRequest, VerifyResponse,
};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::answers::{Answers, Part};
use super::deadline::CallDeadline;
use super::digest::read_on;
use super::door::Asker;
use super::read::Origin;
use super::service::Service;
use super::{convert, error};
use crate::access::Keys;
use crate::runtime::{self, StoreHandle};
use crate::telemetry::trace;

/// Buckets whose rows are asked for at once.
const BUCKETS_ASKED_MAX: usize = 64;

/// Bytes that a row of a page costs beside its key: revision, hash, framing.
const ROW_BYTES: usize = 48;

pub(super) fn open(
    service: &Service,
    asker: Asker,
    requests: Streaming<VerifyRequest>,
    deadline: CallDeadline,
) -> Answers<VerifyResponse> {
    let (parts, answers) = Answers::channel(1, &service.ending);
    let comparison = Comparison { service: service.clone(), asker, requests, deadline };
    let ending = service.ending.clone();
    let comparing = async move { ending.run_until_cancelled(run(comparison, parts)).await };
    service.tasks.spawn(trace::carried(comparing));
    answers
}

/// Runs the comparison. It ends early when nobody is there any more.
async fn run(mut comparison: Comparison, parts: mpsc::Sender<Part<VerifyResponse>>) {
    let last = tokio::select! {
        biased;
        () = parts.closed() => return,
        end = comparison.answer_all(&parts) => end.map_err(Status::from),
    };
    let _gone = parts.send(Part::Last(last)).await;
}

struct Comparison {
    service: Service,
    asker: Asker,
    requests: Streaming<VerifyRequest>,
    deadline: CallDeadline,
}

/// What the first request pinned.
pub(super) struct Pinned {
    store: StoreHandle,
    copy: runtime::PinnedCopy,
}

impl Comparison {
    async fn answer_all(
        &mut self,
        parts: &mpsc::Sender<Part<VerifyResponse>>,
    ) -> Result<(), ErrorDetail> {
        let mut pinned = None;
        while let Some(ask) = self.next().await? {
            let answer = match (ask, &pinned) {
                (Ask::Pin(request), None) => {
                    let (new, sums) = self.pin(request).await?;
                    pinned = Some(new);
                    Answer::Pinned(sums)
                }
                (Ask::Rows(request), Some(pinned)) => {
                    Answer::Rows(self.rows(pinned, request).await?)
                }
                (Ask::Pin(_), Some(_)) | (Ask::Rows(_), None) => {
                    let message = "the first request of a stream pins, and no other one";
                    return Err(error::invalid_request(message, "open one stream for each pin"));
                }
            };
            let response = VerifyResponse { answer: Some(answer) };
            if parts.send(Part::Message(response)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Ask>, ErrorDetail> {
        let request = self.requests.message().await.map_err(|status| error::unreadable(&status))?;
        match request {
            None => Ok(None),
            Some(VerifyRequest { ask: Some(ask) }) => Ok(Some(ask)),
            Some(VerifyRequest { ask: None }) => {
                Err(error::invalid_request("the request asks nothing", "set pin or rows"))
            }
        }
    }

    async fn pin(&self, request: PinRequest) -> Result<(Pinned, PinnedCopy), ErrorDetail> {
        let store = self.service.stores.one(&request.store)?.handle.clone();
        self.asker.may(Rpc::Verify, store.name(), Keys::All)?;
        let at = request.at.ok_or_else(|| {
            error::invalid_request("a pin needs a position", "give the token to pin at")
        })?;
        let at = convert::core_token(&at, &store.gate())?;
        let wait = self.deadline.wait(request.wait_ms_max);
        let pinned = Pinned::at(store, at.clone(), wait).await?;
        let sums = self.sums(&pinned, &at).await?;
        Ok((pinned, sums))
    }

    async fn sums(&self, pinned: &Pinned, at: &Token) -> Result<PinnedCopy, ErrorDetail> {
        let _one_at_a_time = self.service.whole_copy().await;
        let (origin, view) = pinned.view()?;
        let lineages = view.lineages().map_err(|error| origin.failed(&error))?;
        for (lineage, (position, _)) in lineages.iter().zip(&at.positions) {
            assert_eq!(lineage.position, *position, "a pin is at its position");
            assert!(lineage.exact(), "a pin is of an exact copy");
        }
        let add = |buckets: &mut Buckets, key: &[u8], revision, value: &[u8]| {
            buckets.add(key, revision, value);
            Scan::Continue
        };
        let summed = read_on(view, Vec::new(), Buckets::default(), add).await?;
        let buckets = summed.map_err(|error| origin.failed(&error))?;
        let sums = buckets.digests().iter().map(|digest| BucketSum {
            rows: digest.rows,
            sum: digest.sum.to_be_bytes().to_vec().into(),
        });
        Ok(PinnedCopy { buckets: sums.collect() })
    }

    async fn rows(
        &self,
        pinned: &Pinned,
        request: PinnedRowsRequest,
    ) -> Result<PinnedRows, ErrorDetail> {
        let wanted = wanted(&request.buckets)?;
        // The rows begin at the smallest key above the last one.
        let start = request.after.map(|last| [&last[..], b"\0"].concat()).unwrap_or_default();
        let _one_at_a_time = self.service.whole_copy().await;
        let (origin, view) = pinned.view()?;
        let add = move |page: &mut Page, key: &[u8], revision, value: &[u8]| {
            if wanted.contains(&bucket_of(key)) {
                page.add(key, revision, value)
            } else {
                Scan::Continue
            }
        };
        let read = read_on(view, start, Page::default(), add).await?;
        Ok(read.map_err(|error| origin.failed(&error))?.rows)
    }
}

impl Pinned {
    /// Keeps the copy as it is at `at`, for which it waits no longer than `wait_max`.
    pub(super) async fn at(
        store: StoreHandle,
        at: Token,
        wait_max: Duration,
    ) -> Result<Pinned, ErrorDetail> {
        let copy = store.pin(at, wait_max).await;
        let copy =
            copy.map_err(|rejection| error::turned_away(store.circumstances(), &rejection))?;
        Ok(Pinned { store, copy })
    }

    pub(super) fn view(&self) -> Result<(Origin, Box<dyn View + Send>), ErrorDetail> {
        let (generation, closing, view) = self.copy.view().ok_or_else(error::not_pinned)?;
        Ok((Origin::new(self.store.clone(), generation, closing), view))
    }
}

pub(super) fn wanted(buckets: &[u32]) -> Result<BTreeSet<usize>, ErrorDetail> {
    let wrong = |message: String| {
        let what_to_do = format!("ask for 1 to {BUCKETS_ASKED_MAX} buckets below {BUCKETS}");
        Err(error::invalid_request(message, what_to_do))
    };
    if !(1..=BUCKETS_ASKED_MAX).contains(&buckets.len()) {
        return wrong(format!("{} buckets were asked for", buckets.len()));
    }
    let numbers: BTreeSet<usize> = buckets
        .iter()
        .map(|bucket| usize::try_from(*bucket).expect("usize holds 32 bits"))
        .collect();
    match numbers.last().filter(|last| **last >= BUCKETS) {
        Some(last) => wrong(format!("there is no bucket {last}")),
        None => Ok(numbers),
    }
}

#[derive(Default)]
struct Page {
    rows: PinnedRows,
    bytes: usize,
}

impl Page {
    fn add(&mut self, key: &[u8], revision: Revision, value: &[u8]) -> Scan {
        let bytes = self.bytes + key.len() + ROW_BYTES;
        let full = self.rows.rows.len() == BATCH_LEN_MAX || bytes > BATCH_BYTES;
        if full && !self.rows.rows.is_empty() {
            self.rows.more = true;
            return Scan::Stop;
        }
        self.bytes = bytes;
        self.rows.rows.push(PinnedRow {
            key: key.to_vec().into(),
            revision: Some(convert::revision(revision)),
            hash: row_hash(key, revision, value).to_be_bytes().to_vec().into(),
        });
        Scan::Continue
    }
}

#[cfg(test)]
mod tests {
    use outrigger_core::offset::{Offset, Partition};
    use outrigger_proto::v1::Reason;

    use super::*;

    const REVISION: Revision = Revision { partition: Partition(0), offset: Offset(7) };

    #[test]
    fn a_page_is_bounded_and_a_large_key_travels_alone() {
        let mut page = Page::default();
        assert_eq!(page.add(&[0; BATCH_BYTES * 2], REVISION, b""), Scan::Continue);
        assert_eq!(page.add(b"next", REVISION, b""), Scan::Stop);
        assert!(page.rows.more && page.rows.rows.len() == 1);
        let mut page = Page::default();
        for number in 0..BATCH_LEN_MAX {
            assert_eq!(page.add(&number.to_be_bytes(), REVISION, b""), Scan::Continue);
        }
        assert!(!page.rows.more);
        assert_eq!(page.add(b"one more", REVISION, b""), Scan::Stop);
        assert!(page.rows.more && page.rows.rows.len() == BATCH_LEN_MAX);
    }

    #[test]
    fn only_some_buckets_that_there_are_can_be_asked_for() {
        assert_eq!(
            wanted(&[5, 0, 4_095, 5]).expect("they are there"),
            BTreeSet::from([0, 5, 4_095])
        );
        let many: Vec<u32> = (0..65).collect();
        for buckets in [&[][..], &[4_096], &[1, u32::MAX], &many] {
            let refused = wanted(buckets).expect_err("refused");
            assert_eq!(refused.reason(), Reason::InvalidRequest);
            assert!(refused.what_to_do.contains("4096"), "{refused:?}");
        }
    }
}
