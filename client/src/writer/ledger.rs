//! The open writes of a stream, in order, and the room for more.
//!
//! A write is in exactly one place. `unsent`: it has not left, so it did not happen when the stream
//! ends. `sent`: it may have happened unless the node says otherwise. Moving from one to the other and
//! ending the stream happen under one lock, so that no write is both given up and sent.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use outrigger_proto::limits::{BATCH_BYTES, BATCH_LEN_MAX};
use outrigger_proto::v1::write_item::Action;
use outrigger_proto::v1::{Revision, WriteItem};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::window::{FORGOTTEN_AFTER, LEAST, Window};
use crate::error::{Effect, Error};

/// What an open write costs besides its key and value.
const WRITE_BYTES: usize = 256;

type Answer = Result<Revision, Error>;

#[derive(Debug)]
pub(super) struct Ledger {
    /// In bytes: those of keys and values, and [`WRITE_BYTES`] for each write. It is closed when the stream has ended.
    room: Semaphore,
    /// The lock is held for one batch at most, never over an await; no other lock of ours is taken under it.
    writes: Mutex<Writes>,
}

#[derive(Debug)]
struct Writes {
    unsent: VecDeque<(WriteItem, Waiter)>,
    sent: VecDeque<Waiter>,
    window: Window,
    /// When the last answer came.
    answered: Instant,
    /// No more writes are accepted.
    closed: bool,
    /// What wakes the stream, when that waits for a write to send.
    idle: Option<Waker>,
}

/// Who waits for the answer to a write, since when, and how much room the answer sets free.
#[derive(Debug)]
struct Waiter {
    since: Instant,
    room: usize,
    answer: oneshot::Sender<Answer>,
}

impl Ledger {
    pub(super) fn new() -> Ledger {
        let writes = Writes {
            unsent: VecDeque::new(),
            sent: VecDeque::new(),
            window: Window::new(),
            answered: Instant::now(),
            closed: false,
            idle: None,
        };
        Ledger { room: Semaphore::new(LEAST), writes: Mutex::new(writes) }
    }

    /// Waits for room, first come, first served; then the write is open until it is answered.
    pub(super) async fn accept(&self, item: WriteItem) -> Result<oneshot::Receiver<Answer>, Error> {
        self.forget();
        // The node will refuse what is larger.
        let room = (bytes(&item) + WRITE_BYTES).min(LEAST);
        let permits = u32::try_from(room).expect("a write is checked to fit a request");
        let permit = self.room.acquire_many(permits).await.map_err(|_| Error::never_sent())?;
        let (answer, receiver) = oneshot::channel();
        let waiter = Waiter { since: Instant::now(), room, answer };

        let mut writes = self.lock();
        if writes.closed {
            return Err(Error::never_sent());
        }
        writes.unsent.push_back((item, waiter));
        writes.wake();
        permit.forget();
        Ok(receiver)
    }

    /// Begins anew with the least room where nothing was answered for a while.
    fn forget(&self) {
        let mut writes = self.lock();
        if writes.is_at_rest() && writes.answered.elapsed() > FORGOTTEN_AFTER {
            let taken = self.room.forget_permits(writes.window.above_least());
            writes.window.shrink(taken);
        }
    }

    /// Accepts no more writes. The stream ends when those it has are answered.
    pub(super) fn close(&self) {
        self.lock().close();
    }

    /// The next writes to send, at least one and no more than a message should have; `None` after the
    /// last. They count as sent.
    pub(super) fn poll_batch(&self, cx: &Context<'_>) -> Poll<Option<Vec<WriteItem>>> {
        let mut writes = self.lock();
        if !writes.unsent.is_empty() {
            return Poll::Ready(Some(writes.take_batch()));
        }
        if writes.closed {
            return Poll::Ready(None);
        }
        writes.idle = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Nothing more can be sent: what was not sent did not happen.
    pub(super) fn stop_sending(&self) {
        let unsent = {
            let mut writes = self.lock();
            writes.close();
            std::mem::take(&mut writes.unsent)
        };
        settle_unsent(unsent);
    }

    /// Answers the oldest sent writes, in order. Fails when there are more answers than writes.
    pub(super) fn answer(&self, answers: Vec<Answer>) -> Result<(), Error> {
        let (waiters, free) = {
            let mut writes = self.lock();
            if writes.sent.len() < answers.len() {
                return Err(Error::protocol(Effect::Write, "it answers more than was sent"));
            }
            let waiters: Vec<Waiter> = writes.sent.drain(..answers.len()).collect();
            let free = writes.free(&waiters);
            (waiters, free)
        };
        self.room.add_permits(free);
        for (waiter, answer) in waiters.into_iter().zip(answers) {
            waiter.settle(answer);
        }
        Ok(())
    }

    /// Ends the stream; `error` is what that means for the writes that were sent. Returns how many writes were open.
    /// Ending it again changes nothing.
    pub(super) fn end(&self, error: &Error) -> usize {
        let (unsent, sent) = {
            let mut writes = self.lock();
            writes.close();
            (std::mem::take(&mut writes.unsent), std::mem::take(&mut writes.sent))
        };
        self.room.close();
        let open = unsent.len() + sent.len();
        settle_unsent(unsent);
        for waiter in sent {
            waiter.settle(Err(error.clone()));
        }
        open
    }

    /// How long the oldest open write has waited.
    pub(super) fn oldest_wait(&self) -> Option<Duration> {
        let writes = self.lock();
        let unsent = writes.unsent.front().map(|(_, waiter)| waiter);
        writes.sent.front().or(unsent).map(|oldest| oldest.since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Writes> {
        // Nothing under the lock can panic halfway through a change.
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writes {
    fn close(&mut self) {
        self.closed = true;
        self.wake();
    }

    /// Waking only schedules the stream's task; that runs after the lock is free.
    fn wake(&mut self) {
        if let Some(stream) = self.idle.take() {
            stream.wake();
        }
    }

    fn is_at_rest(&self) -> bool {
        self.unsent.is_empty() && self.sent.is_empty()
    }

    /// How much room becomes free when these are answered.
    fn free(&mut self, waiters: &[Waiter]) -> usize {
        self.answered = Instant::now();
        let Some(oldest) = waiters.first() else { return 0 };
        let room = waiters.iter().map(|waiter| waiter.room).sum();
        self.window.answered(room, self.answered - oldest.since)
    }

    fn take_batch(&mut self) -> Vec<WriteItem> {
        let mut total = 0;
        let fits = |(item, _): &&(WriteItem, Waiter)| {
            total += bytes(item);
            total <= BATCH_BYTES
        };
        let count = self.unsent.iter().take(BATCH_LEN_MAX).take_while(fits).count().max(1);
        let mut items = Vec::with_capacity(count);
        for (item, waiter) in self.unsent.drain(..count) {
            items.push(item);
            self.sent.push_back(waiter);
        }
        items
    }
}

impl Waiter {
    fn settle(self, answer: Answer) {
        // A caller that dropped its `Pending` does not want to know.
        drop(self.answer.send(answer));
    }
}

fn settle_unsent(unsent: VecDeque<(WriteItem, Waiter)>) {
    for (_, waiter) in unsent {
        waiter.settle(Err(Error::never_sent()));
    }
}

fn bytes(item: &WriteItem) -> usize {
    let value = match &item.action {
        Some(Action::Put(value)) => value.len(),
        Some(Action::Delete(_)) | None => 0,
    };
    item.key.len() + value
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn put(value_bytes: usize) -> WriteItem {
        let value = Bytes::from(vec![7; value_bytes]);
        WriteItem { key: Bytes::from_static(b"k"), action: Some(Action::Put(value)) }
    }

    fn revision(offset: u64) -> Revision {
        Revision { partition: 0, offset }
    }

    /// The number of writes in the next message; `None` when the stream waits or has ended.
    fn send(ledger: &Ledger) -> Option<usize> {
        match ledger.poll_batch(&Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(items)) => Some(items.len()),
            Poll::Ready(None) | Poll::Pending => None,
        }
    }

    async fn has_room(ledger: &Ledger, value_bytes: usize) -> bool {
        tokio::time::timeout(Duration::ZERO, ledger.accept(put(value_bytes))).await.is_ok()
    }

    #[tokio::test]
    async fn no_more_is_accepted_than_there_is_room_for_and_an_answer_frees_it() {
        let ledger = Ledger::new();
        let half = LEAST / 2 - WRITE_BYTES - 1;
        let first = ledger.accept(put(half)).await.expect("open");
        let _second = ledger.accept(put(half)).await.expect("open");
        assert!(!has_room(&ledger, 0).await);

        assert_eq!((send(&ledger), send(&ledger), send(&ledger)), (Some(1), Some(1), None));
        assert!(!has_room(&ledger, 0).await, "sending alone frees nothing");
        ledger.answer(vec![Ok(revision(7))]).expect("two sent");
        assert_eq!(first.await.expect("settled").expect("written"), revision(7));
        assert!(has_room(&ledger, half).await);
    }

    #[tokio::test]
    async fn what_a_node_will_refuse_is_not_waited_for() {
        let ledger = Ledger::new();
        assert!(has_room(&ledger, 2 * LEAST).await);
    }

    #[tokio::test]
    async fn a_node_that_answers_at_once_is_given_more_until_it_is_not_asked_for_a_while() {
        let ledger = Ledger::new();
        let most = LEAST - WRITE_BYTES - 1;
        let _first = ledger.accept(put(most)).await.expect("open");
        assert_eq!(send(&ledger), Some(1));
        ledger.answer(vec![Ok(revision(7))]).expect("one sent");
        assert!(has_room(&ledger, most).await && has_room(&ledger, most).await);
        while send(&ledger).is_some() {}
        ledger.answer(vec![Ok(revision(8)), Ok(revision(9))]).expect("two sent");

        ledger.lock().answered -= 2 * FORGOTTEN_AFTER;
        assert!(has_room(&ledger, most).await);
        assert!(!has_room(&ledger, most).await, "it begins anew");
    }

    #[tokio::test]
    async fn a_message_has_no_more_writes_and_bytes_than_it_should() {
        let ledger = Ledger::new();
        for _ in 0..2_500 {
            ledger.accept(put(10)).await.expect("open");
        }
        for _ in 0..3 {
            ledger.accept(put(BATCH_BYTES / 2 - 1)).await.expect("open");
        }
        ledger.accept(put(BATCH_BYTES * 2)).await.expect("open");
        let messages: Vec<_> = std::iter::from_fn(|| send(&ledger)).collect();
        assert_eq!(messages, [1_000, 1_000, 501, 2, 1]);
    }

    #[tokio::test]
    async fn the_end_leaves_doubt_for_what_was_sent_and_certainty_for_the_rest() {
        let ledger = Ledger::new();
        let sent = ledger.accept(put(1)).await.expect("open");
        assert_eq!(send(&ledger), Some(1));
        let unsent = ledger.accept(put(1)).await.expect("open");

        assert_eq!(ledger.end(&Error::unanswered("the end")), 2);
        assert!(sent.await.expect("settled").expect_err("unanswered").may_have_happened());
        assert!(!unsent.await.expect("settled").expect_err("unsent").may_have_happened());
        assert_eq!(send(&ledger), None);
        assert!(!ledger.accept(put(1)).await.expect_err("ended").may_have_happened());
        assert_eq!(ledger.end(&Error::unanswered("again")), 0);
    }

    #[tokio::test]
    async fn who_waits_for_room_learns_of_the_end() {
        let ledger = Ledger::new();
        let _all = ledger.accept(put(LEAST - WRITE_BYTES - 1)).await.expect("open");
        let (waiting, _) = tokio::join!(ledger.accept(put(1)), async {
            ledger.end(&Error::unanswered("the end"))
        });
        assert!(!waiting.expect_err("ended").may_have_happened());
    }

    #[tokio::test]
    async fn what_was_accepted_before_closing_is_still_sent() {
        let ledger = Ledger::new();
        let accepted = ledger.accept(put(1)).await.expect("open");
        ledger.close();
        assert!(ledger.accept(put(1)).await.is_err());
        assert_eq!(send(&ledger), Some(1));
        ledger.answer(vec![Ok(revision(1))]).expect("one sent");
        accepted.await.expect("settled").expect("written");
    }

    #[tokio::test]
    async fn more_answers_than_sent_writes_break_the_protocol() {
        let ledger = Ledger::new();
        let _accepted = ledger.accept(put(1)).await.expect("open");
        let error = ledger.answer(vec![Ok(revision(1))]).expect_err("nothing was sent");
        assert!(error.may_have_happened());
    }
}
