//! A copy that a node keeps as it is at one position, to be compared with those of other nodes.

use std::time::Duration;

use outrigger_proto::v1::verify_request::Ask;
use outrigger_proto::v1::verify_response::Answer;
use outrigger_proto::v1::{
    BucketSum, PinRequest, PinnedRow, PinnedRowsRequest, VerifyRequest, VerifyResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::client::{self, Client};
use crate::error::{Effect, Error};
use crate::token::Token;

/// Summing or listing reads every row of a copy.
const READ_DEADLINE: Duration = Duration::from_secs(300);

/// A pinned copy. The node keeps it until this is dropped, and for 5 minutes at most.
#[derive(Debug)]
pub struct Pinned {
    asks: mpsc::Sender<VerifyRequest>,
    answers: Streaming<VerifyResponse>,
    buckets: Vec<BucketSum>,
}

impl Pinned {
    pub(crate) async fn open(
        client: &Client,
        store: String,
        at: &Token,
        wait: Duration,
    ) -> Result<Pinned, Error> {
        let (asks, requests) = mpsc::channel(1);
        let wait_ms_max = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let pin = PinRequest { store, at: Some(at.into()), wait_ms_max };
        let first = VerifyRequest { ask: Some(Ask::Pin(pin)) };
        asks.try_send(first).expect("the channel has a place and a receiver");
        let mut admin = client.admin();
        let call = admin.verify(ReceiverStream::new(requests));
        let deadline = wait.saturating_add(READ_DEADLINE);
        let answers = client::answer(Effect::None, deadline, call).await?;
        let mut pinned = Pinned { asks, answers, buckets: Vec::new() };
        pinned.buckets = match pinned.answer(deadline).await? {
            Answer::Pinned(copy) => copy.buckets,
            Answer::Rows(_) => return Err(out_of_turn()),
        };
        Ok(pinned)
    }

    /// The sums of all buckets, by number: 4,096 of them.
    pub fn buckets(&self) -> &[BucketSum] {
        &self.buckets
    }

    /// The rows of these buckets above the key `after`, in ascending order, and whether there may be more.
    /// Takes 1 to 64 numbers of `0..4096`, and answers with 1,000 rows at most.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for other buckets, [`Unavailable`](crate::ErrorKind::Unavailable)
    /// when the copy is not kept any more, [`Deadline`](crate::ErrorKind::Deadline) after 5 minutes without an
    /// answer. After an error ask no more: pin again.
    pub async fn rows(
        &mut self,
        buckets: &[u32],
        after: Option<bytes::Bytes>,
    ) -> Result<(Vec<PinnedRow>, bool), Error> {
        let rows = PinnedRowsRequest { buckets: buckets.to_vec(), after };
        // A stream that has ended says why where its answer is read.
        let _ended = self.asks.send(VerifyRequest { ask: Some(Ask::Rows(rows)) }).await;
        match self.answer(READ_DEADLINE).await? {
            Answer::Rows(page) => Ok((page.rows, page.more)),
            Answer::Pinned(_) => Err(out_of_turn()),
        }
    }

    async fn answer(&mut self, deadline: Duration) -> Result<Answer, Error> {
        let message = tokio::time::timeout(deadline, self.answers.message()).await;
        let message = message.map_err(|_elapsed| Error::deadline(Effect::None, deadline))?;
        let response = message.map_err(|status| Error::of_call(Effect::None, status))?;
        response.and_then(|response| response.answer).ok_or_else(out_of_turn)
    }
}

fn out_of_turn() -> Error {
    Error::protocol(Effect::None, "it does not answer the request")
}
