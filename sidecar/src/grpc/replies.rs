//! The replies of a Write stream: in the order of the items, however many writes are under way.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use outrigger_core::offset::{Offset, Partition, Revision};
use outrigger_core::topic::TopicId;
use outrigger_proto::limits::BATCH_LEN_MAX;
use outrigger_proto::v1::write_reply::Outcome;
use outrigger_proto::v1::{self, ErrorDetail, WriteReply, WriteResponse};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::Status;

use super::bounded::BoundedWrite;
use super::room::Held;
use super::write::appended;
use super::{convert, error};
use crate::runtime::{StoreHandle, Written};

/// What is under way, in the order of the requests.
pub(super) enum InFlight {
    Flight(Box<Flight>),
    /// Everything before it is answered first.
    End(Result<(), Status>),
}

/// Items that were taken in together.
pub(super) struct Flight {
    /// The write of the items that did not fail; absent when all did.
    pub(super) pending: Option<BoundedWrite>,
    /// The keys of those items, in order: where the log has them is known with the outcome.
    pub(super) keys: Box<[Bytes]>,
    /// The items that failed, by their place among all, ascending.
    pub(super) failed: Vec<(usize, ErrorDetail)>,
    pub(super) items: usize,
    /// The copy that is to have them before they are answered; none: it is enough that the log has.
    pub(super) showing: Option<Box<Showing>>,
    /// Room for their outcomes.
    pub(super) _held: Option<Box<Held>>,
}

/// What an answer waits for after the log.
pub(super) enum Showing {
    Asked { store: StoreHandle, until: Instant },
    Awaited { answer: Answer, shown: Shown },
}

type Shown = Pin<Box<dyn Future<Output = bool> + Send>>;

pub(super) struct Replies {
    in_flight: mpsc::Receiver<InFlight>,
    /// The oldest that is not answered.
    oldest: Option<InFlight>,
    written: Appended,
    over: bool,
}

/// What is sent in one message.
#[derive(Default)]
pub(super) struct Answer {
    replies: Vec<WriteReply>,
    written: Appended,
    /// Whether the copy has all that the log took; none while there is no reply.
    applied: Option<bool>,
}

/// How far the writes that succeeded reach.
#[derive(Clone, Default)]
struct Appended {
    topic: Option<TopicId>,
    positions: BTreeMap<Partition, Offset>,
}

impl Replies {
    pub(super) fn new(in_flight: mpsc::Receiver<InFlight>) -> Replies {
        Replies { in_flight, oldest: None, written: Appended::default(), over: false }
    }

    /// Adds what is answered already. Ready with the end of the stream, when there is nothing before it; pending
    /// too when the answer is full.
    fn gather(
        &mut self,
        answer: &mut Answer,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Status>> {
        loop {
            let oldest = match self.oldest.take() {
                Some(oldest) => oldest,
                None => match ready!(self.in_flight.poll_recv(context)) {
                    Some(next) => next,
                    None => return Poll::Ready(Err(broken_off())),
                },
            };
            match oldest {
                InFlight::Flight(mut flight) => {
                    let added =
                        answer.has_room(flight.items) && flight.poll(answer, context).is_ready();
                    if !added {
                        self.oldest = Some(InFlight::Flight(flight));
                        return Poll::Pending;
                    }
                }
                InFlight::End(end) if answer.replies.is_empty() => return Poll::Ready(end),
                end @ InFlight::End(_) => {
                    self.oldest = Some(end);
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Ends the stream without details: each write that is not answered may have happened.
fn broken_off() -> Status {
    Status::internal("the replies broke off: a defect of the node")
}

impl Stream for Replies {
    type Item = Result<WriteResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut answer = Answer::default();
        let end = self.gather(&mut answer, context);
        if !answer.replies.is_empty() {
            let applied = answer.applied.unwrap_or_default();
            self.written.include(answer.written);
            let token = self.written.token();
            return Poll::Ready(Some(Ok(WriteResponse {
                replies: answer.replies,
                token,
                applied,
            })));
        }
        let end = ready!(end);
        self.over = true;
        Poll::Ready(end.err().map(Err))
    }
}

impl Flight {
    fn poll(&mut self, answer: &mut Answer, context: &mut Context<'_>) -> Poll<()> {
        if let Some(Showing::Awaited { answer: own, shown }) = self.showing.as_deref_mut() {
            let applied = ready!(shown.as_mut().poll(context));
            answer.replies.append(&mut own.replies);
            answer.written.include(std::mem::take(&mut own.written));
            answer.note(applied);
            return Poll::Ready(());
        }
        let outcome = match &mut self.pending {
            Some(pending) => Some(ready!(Pin::new(pending).poll(context))),
            None => None,
        };
        let failed = std::mem::take(&mut self.failed);
        let Some(showing) = self.showing.as_deref_mut() else {
            answer.add(self.items, failed, &self.keys, outcome);
            answer.note(false);
            return Poll::Ready(());
        };
        let mut own = Answer::default();
        own.add(self.items, failed, &self.keys, outcome);
        showing.await_copy(own);
        self.poll(answer, context)
    }
}

impl Showing {
    /// The log has answered: waits for the copy now.
    fn await_copy(&mut self, answer: Answer) {
        if let Showing::Asked { store, until } = self {
            let shown = answer.written.clone().shown(store.clone(), *until);
            *self = Showing::Awaited { answer, shown };
        }
    }
}

impl Answer {
    /// Adds whether the copy has what was added last.
    fn note(&mut self, applied: bool) {
        self.applied = Some(applied && self.applied.unwrap_or(true));
    }

    /// Whether more items find room. An empty answer takes any number.
    fn has_room(&self, items: usize) -> bool {
        self.replies.is_empty() || self.replies.len() + items <= BATCH_LEN_MAX
    }

    /// Adds one reply for each item: those of `failed` at their places, the others as the log answered.
    fn add(
        &mut self,
        items: usize,
        failed: Vec<(usize, ErrorDetail)>,
        keys: &[Bytes],
        outcome: Option<Result<Written, ErrorDetail>>,
    ) {
        self.replies.reserve(items);
        let mut failed = failed.into_iter().peekable();
        let (written, rejected) = match outcome {
            Some(Ok(written)) => (Some(written), None),
            Some(Err(detail)) => (None, Some(detail)),
            None => (None, None),
        };
        if let Some(written) = &written {
            self.written.topic = Some(written.topic);
        }
        let mut outcomes = written.iter().flat_map(|Written { partitions, outcomes, .. }| {
            let outcomes = keys.iter().zip(outcomes);
            outcomes.map(|(key, outcome)| appended(outcome, key, *partitions))
        });
        for index in 0..items {
            let failed = failed.next_if(|(failed, _)| *failed == index);
            let reply = match (failed, &rejected) {
                (Some((_, detail)), _) => Outcome::Error(error::counted(detail)),
                (None, Some(rejected)) => Outcome::Error(error::counted(rejected.clone())),
                (None, None) => {
                    let outcome =
                        outcomes.next().expect("one outcome for each change that was submitted");
                    self.outcome(outcome)
                }
            };
            self.replies.push(WriteReply { outcome: Some(reply) });
        }
    }

    fn outcome(&mut self, outcome: Result<Revision, ErrorDetail>) -> Outcome {
        match outcome {
            Ok(revision) => {
                self.written.reach(revision.partition, revision.offset.next());
                Outcome::Revision(convert::revision(revision))
            }
            Err(detail) => Outcome::Error(error::counted(detail)),
        }
    }
}

impl Appended {
    /// Waits until the copy of `store` has all of it. Whether it has.
    fn shown(self, store: StoreHandle, until: Instant) -> Shown {
        Box::pin(async move {
            match self.topic.filter(|_| !self.positions.is_empty()) {
                Some(topic) => store.shows(topic, self.positions, until).await,
                None => true,
            }
        })
    }

    fn reach(&mut self, partition: Partition, position: Offset) {
        let reached = self.positions.entry(partition).or_default();
        *reached = position.max(*reached);
    }

    /// Includes what was appended. Positions of a topic that was replaced meanwhile mean nothing in the new one.
    fn include(&mut self, newer: Appended) {
        if newer.positions.is_empty() {
            return;
        }
        if self.topic != newer.topic {
            *self = newer;
            return;
        }
        for (partition, position) in newer.positions {
            self.reach(partition, position);
        }
    }

    fn token(&self) -> Option<v1::Token> {
        let positions =
            || self.positions.iter().map(|(partition, position)| (*partition, *position));
        let topic = self.topic.filter(|_| !self.positions.is_empty())?;
        Some(convert::token_of_writes(topic, positions()))
    }
}

#[cfg(test)]
mod tests {
    use outrigger_core::gate::Rejection;
    use outrigger_core::log::KafkaError;
    use outrigger_core::node::Outcome as CoreOutcome;
    use outrigger_core::partitioner::partition_of;
    use outrigger_core::phase::Phase;
    use outrigger_proto::v1::Reason;
    use tokio_stream::StreamExt;

    use super::*;

    const TOPIC: TopicId = TopicId([7; 16]);

    fn appended_at(partition: u32, offset: u64) -> CoreOutcome {
        CoreOutcome::Appended(Revision { partition: Partition(partition), offset: Offset(offset) })
    }

    fn keys(count: usize) -> Vec<Bytes> {
        (0..count).map(|number| Bytes::from(format!("key {number}"))).collect()
    }

    fn written(outcomes: Vec<CoreOutcome>) -> Option<Result<Written, ErrorDetail>> {
        Some(Ok(Written { topic: TOPIC, partitions: 4, outcomes }))
    }

    fn too_large() -> ErrorDetail {
        error::key_too_large(9, 8)
    }

    fn outline(replies: &[WriteReply]) -> Vec<Result<u64, Reason>> {
        let outline = |reply: &WriteReply| match reply
            .outcome
            .as_ref()
            .expect("every reply has an outcome")
        {
            Outcome::Revision(revision) => Ok(revision.offset),
            Outcome::Error(detail) => Err(detail.reason()),
        };
        replies.iter().map(outline).collect()
    }

    #[test]
    fn failed_items_keep_their_places_among_the_others() {
        let mut answer = Answer::default();
        let failed = vec![(0, too_large()), (2, too_large()), (4, too_large())];
        answer.add(5, failed, &keys(2), written(vec![appended_at(0, 10), appended_at(0, 11)]));
        let large = Err(Reason::KeyTooLarge);
        assert_eq!(outline(&answer.replies), [large, Ok(10), large, Ok(11), large]);
    }

    #[test]
    fn the_token_covers_every_write_of_the_message_and_nothing_else() {
        let mut answer = Answer::default();
        let first = written(vec![appended_at(3, 7), appended_at(1, 5)]);
        answer.add(2, vec![], &keys(2), first);
        let second = written(vec![appended_at(3, 6), CoreOutcome::Unknown(timed_out())]);
        answer.add(2, vec![], &keys(2), second);
        assert_eq!(outline(&answer.replies), [Ok(7), Ok(5), Ok(6), Err(Reason::WriteUnknown)]);
        assert_eq!(answer.written.token(), token(TOPIC, &[(1, 6), (3, 8)]));
    }

    fn timed_out() -> KafkaError {
        KafkaError { code: -192, name: "_MSG_TIMED_OUT".to_owned(), not_persisted: false }
    }

    #[test]
    fn an_item_that_the_log_does_not_have_names_the_partition_of_its_key() {
        let keys = keys(8);
        let outcomes = keys.iter().map(|_| CoreOutcome::Unknown(timed_out())).collect();
        let mut answer = Answer::default();
        answer.add(9, vec![(3, too_large())], &keys, written(outcomes));
        answer.replies.remove(3);
        for (key, reply) in keys.iter().zip(&answer.replies) {
            let partition = partition_of(key, 4);
            match reply.outcome.as_ref().expect("every reply has an outcome") {
                Outcome::Error(detail) => {
                    let names = format!("partition {partition}: ");
                    assert!(detail.message.starts_with(&names), "{}", detail.message);
                }
                Outcome::Revision(revision) => panic!("{revision:?}"),
            }
        }
    }

    #[test]
    fn a_rejected_write_fails_each_of_its_items_and_has_no_token() {
        let not_ready = error::of_rejection(&Rejection::NotReady(Phase::Opening));
        let mut answer = Answer::default();
        answer.add(3, vec![(1, too_large())], &keys(2), Some(Err(not_ready)));
        let not_ready = Err(Reason::NotReady);
        assert_eq!(outline(&answer.replies), [not_ready, Err(Reason::KeyTooLarge), not_ready]);
        assert_eq!(answer.written.token(), None);
    }

    fn token(topic: TopicId, positions: &[(u32, u64)]) -> Option<v1::Token> {
        let positions =
            positions.iter().map(|(partition, at)| (Partition(*partition), Offset(*at)));
        Some(convert::token_of_writes(topic, positions))
    }

    #[test]
    fn the_token_of_a_stream_only_grows_and_keeps_every_partition() {
        let reached = |topic, positions: &[(u32, u64)]| Appended {
            topic: Some(topic),
            positions: positions.iter().map(|(at, to)| (Partition(*at), Offset(*to))).collect(),
        };
        let mut stream = Appended::default();
        assert_eq!(stream.token(), None);
        stream.include(reached(TOPIC, &[(3, 8)]));
        stream.include(reached(TOPIC, &[]));
        stream.include(reached(TOPIC, &[(1, 6), (3, 7)]));
        assert_eq!(stream.token(), token(TOPIC, &[(1, 6), (3, 8)]));
        let another = TopicId([8; 16]);
        stream.include(reached(another, &[(0, 1)]));
        assert_eq!(stream.token(), token(another, &[(0, 1)]));
    }

    fn all_failed(items: usize) -> InFlight {
        let failed = (0..items).map(|index| (index, too_large())).collect();
        InFlight::Flight(Box::new(Flight {
            pending: None,
            keys: [].into(),
            failed,
            items,
            showing: None,
            _held: None,
        }))
    }

    async fn replies(in_flight: Vec<InFlight>) -> (Vec<usize>, Option<Status>) {
        let (sender, receiver) = mpsc::channel(16);
        for flight in in_flight {
            assert!(sender.try_send(flight).is_ok(), "there is a place");
        }
        drop(sender);
        let mut replies = Replies::new(receiver);
        let mut lengths = vec![];
        loop {
            match replies.next().await {
                Some(Ok(response)) => lengths.push(response.replies.len()),
                Some(Err(status)) => return (lengths, Some(status)),
                None => return (lengths, None),
            }
        }
    }

    #[tokio::test]
    async fn small_messages_are_answered_together_up_to_a_batch() {
        let flights = vec![all_failed(600), all_failed(400), all_failed(1), InFlight::End(Ok(()))];
        let (lengths, end) = replies(flights).await;
        assert_eq!(lengths, [1_000, 1]);
        assert!(end.is_none());
    }

    #[tokio::test]
    async fn the_end_comes_after_all_replies() {
        let (lengths, end) =
            replies(vec![all_failed(2), InFlight::End(Err(error::draining().into()))]).await;
        assert_eq!(lengths, [2]);
        let detail = ErrorDetail::from_status(&end.expect("an error")).expect("with details");
        assert_eq!((detail.reason(), detail.may_have_happened), (Reason::Draining, false));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_leaves_its_writes_in_doubt() {
        let (lengths, end) = replies(vec![all_failed(2)]).await;
        assert_eq!(lengths, [2]);
        assert_eq!(ErrorDetail::from_status(&end.expect("an error")), None);
    }
}
