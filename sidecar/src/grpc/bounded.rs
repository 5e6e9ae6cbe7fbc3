//! A write that waits for the log no longer than its caller gives.
//!
//! ```text
//!  begin ────────────── nine tenths ──────── the end
//!        waits                │    waits         └─ not known what happened
//!                             └─ what was not sent is withdrawn: it did not happen
//! ```

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use outrigger_proto::v1::ErrorDetail;
use tokio::time::{Instant, Sleep};

use super::error;
use crate::runtime::{PendingWrite, Written};

pub(super) struct BoundedWrite {
    pending: PendingWrite,
    /// None: the log's client bounds it.
    patience: Option<Patience>,
}

struct Patience {
    wait_max: Duration,
    end: Instant,
    next: Next,
    sleep: Pin<Box<Sleep>>,
}

enum Next {
    Withdraw,
    GiveUp,
}

impl BoundedWrite {
    pub(super) fn new(pending: PendingWrite, wait_max: Option<Duration>) -> BoundedWrite {
        BoundedWrite { pending, patience: wait_max.map(Patience::new) }
    }
}

impl Patience {
    fn new(wait_max: Duration) -> Patience {
        let now = Instant::now();
        let sleep = Box::pin(tokio::time::sleep_until(now + (wait_max - wait_max / 10)));
        Patience { wait_max, end: now + wait_max, next: Next::Withdraw, sleep }
    }

    /// Is ready when nothing more is waited for.
    fn poll(&mut self, pending: &PendingWrite, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(context));
            match self.next {
                Next::Withdraw => {
                    pending.withdraw();
                    self.next = Next::GiveUp;
                    self.sleep.as_mut().reset(self.end);
                }
                Next::GiveUp => return Poll::Ready(()),
            }
        }
    }
}

impl Future for BoundedWrite {
    type Output = Result<Written, ErrorDetail>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let BoundedWrite { pending, patience } = &mut *self;
        if let Poll::Ready(answer) = Pin::new(&mut *pending).poll(context) {
            return Poll::Ready(answer.map_err(|rejection| match pending.circumstances() {
                Some(circumstances) => error::turned_away(circumstances, &rejection),
                None => error::of_rejection(&rejection),
            }));
        }
        match patience {
            None => Poll::Pending,
            Some(patience) => {
                ready!(patience.poll(pending, context));
                Poll::Ready(Err(error::write_overdue(patience.wait_max)))
            }
        }
    }
}
