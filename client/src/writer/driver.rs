//! The task of a writer: takes the node's answers to their waiters, and ends the stream.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::write_reply::Outcome;
use outrigger_proto::v1::{Revision, WriteReply, WriteResponse};
use tonic::{Status, Streaming};

use super::ledger::Ledger;
use super::outgoing::Outgoing;
use crate::connections::Connections;
use crate::error::{Effect, Error};
use crate::session::Session;

pub(super) struct Driver {
    pub(super) ledger: Arc<Ledger>,
    pub(super) session: Session,
    /// The longest time from the acceptance of a write to its answer.
    pub(super) deadline: Duration,
}

impl Driver {
    pub(super) async fn run(
        self,
        client: StoreClient<Connections>,
        outgoing: Outgoing,
    ) -> Result<(), Error> {
        let outcome = self.drive(client, outgoing).await;
        let early =
            Error::unanswered("the node ended the write stream without answering this write");
        match self.ledger.end(outcome.as_ref().err().unwrap_or(&early)) {
            0 => outcome,
            _open => outcome.and(Err(early)),
        }
    }

    async fn drive(
        &self,
        mut client: StoreClient<Connections>,
        outgoing: Outgoing,
    ) -> Result<(), Error> {
        // The answer's head may come only with the first reply, so it is waited for like one.
        let answers = self.in_time(client.write(outgoing)).await?;
        self.answer_all(answers.into_inner()).await
    }

    async fn answer_all(&self, mut answers: Streaming<WriteResponse>) -> Result<(), Error> {
        while let Some(answer) = self.in_time(answers.message()).await? {
            self.settle(answer)?;
        }
        Ok(())
    }

    /// Waits for the node: without end while no write is open, else until the oldest one's deadline.
    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Error> {
        tokio::pin!(answer);
        loop {
            let waited = self.ledger.oldest_wait().unwrap_or(Duration::ZERO);
            if waited >= self.deadline {
                return Err(Error::deadline(Effect::Write, self.deadline));
            }
            if let Ok(answer) = tokio::time::timeout(self.deadline - waited, &mut answer).await {
                return answer.map_err(|status| Error::of_call(Effect::Write, status));
            }
        }
    }

    /// Gives the answers to their waiters. The session learns of the writes first, for the waiters may read at once.
    fn settle(&self, answer: WriteResponse) -> Result<(), Error> {
        if answer.token.is_some() {
            self.session.observe(Effect::Write, answer.token)?;
        }
        self.ledger.answer(answer.replies.into_iter().map(outcome).collect())
    }
}

impl Drop for Driver {
    /// A runtime that stops drops the task halfway; then too nobody may wait forever.
    fn drop(&mut self) {
        self.ledger.end(&super::runtime_stopped());
    }
}

fn outcome(reply: WriteReply) -> Result<Revision, Error> {
    match reply.outcome {
        Some(Outcome::Revision(revision)) => Ok(revision),
        Some(Outcome::Error(detail)) => Err(Error::of_item(detail)),
        None => Err(Error::protocol(Effect::Write, "a reply has no outcome")),
    }
}
