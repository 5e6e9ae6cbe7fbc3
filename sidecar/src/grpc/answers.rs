//! The answers of a streaming call. They end well only when their maker said so: a stream that merely stops
//! would look like a complete one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use outrigger_proto::v1::{ErrorDetail, Reason};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::error;

pub(super) enum Part<T> {
    Message(T),
    Last(Result<(), Status>),
}

pub(super) struct Answers<T> {
    parts: mpsc::Receiver<Part<T>>,
    /// It was looked at, and is not sent yet.
    first: Option<Part<T>>,
    ending: CancellationToken,
    over: bool,
}

impl<T> Answers<T> {
    /// `ending`: the node stops, and streams may break off.
    pub(super) fn channel(
        ahead: usize,
        ending: &CancellationToken,
    ) -> (mpsc::Sender<Part<T>>, Answers<T>) {
        let (sender, parts) = mpsc::channel(ahead);
        (sender, Answers { parts, first: None, ending: ending.clone(), over: false })
    }

    /// Waits for the first part, before anything was taken.
    pub(super) async fn await_first(&mut self) {
        self.first = self.parts.recv().await;
    }

    /// Returns the message that was waited for; none: the call has failed, or has no answers.
    pub(super) fn first(&self) -> Option<&T> {
        match &self.first {
            Some(Part::Message(message)) => Some(message),
            Some(Part::Last(_)) | None => None,
        }
    }

    fn broken_off(&self) -> ErrorDetail {
        if self.ending.is_cancelled() {
            error::draining()
        } else {
            ErrorDetail::new(Reason::StoreFailed, "the answers broke off: a defect of the node")
        }
    }
}

impl<T: Unpin> Stream for Answers<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = match self.first.take() {
            None => ready!(self.parts.poll_recv(context)),
            first => first,
        };
        let last = match next {
            Some(Part::Message(message)) => return Poll::Ready(Some(Ok(message))),
            Some(Part::Last(last)) => last,
            None => Err(Status::from(self.broken_off())),
        };
        self.over = true;
        Poll::Ready(last.err().map(Err))
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    async fn last_of(parts: Vec<Part<u8>>, ending: &CancellationToken) -> Result<Vec<u8>, Reason> {
        let (sender, answers) = Answers::channel(8, ending);
        for part in parts {
            assert!(sender.try_send(part).is_ok(), "there is a place");
        }
        drop(sender);
        let answers: Result<Vec<u8>, Status> = answers.collect().await;
        answers.map_err(|status| ErrorDetail::from_status(&status).expect("with details").reason())
    }

    #[tokio::test]
    async fn only_a_finished_stream_ends_well() {
        let ending = CancellationToken::new();
        let done = || Part::Last(Ok(()));
        assert_eq!(last_of(vec![Part::Message(1), done()], &ending).await, Ok(vec![1]));
        assert_eq!(last_of(vec![Part::Message(1)], &ending).await, Err(Reason::StoreFailed));
        ending.cancel();
        assert_eq!(last_of(vec![Part::Message(1)], &ending).await, Err(Reason::Draining));
        assert_eq!(last_of(vec![done()], &ending).await, Ok(vec![]));
    }
}
