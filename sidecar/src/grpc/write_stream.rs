//! Write: a stream of items in, one reply for each out, in order.
//!
//! ```text
//!  requests ──> Intake ──(submit: admission, order)──> log
//!                 │                                     │
//!                 └──> channel of Flights ──> Replies <─┘
//! ```
//! What one message brings enters the core as one write. `Intake` stops reading when the store has no room or
//! `Replies` is far behind: HTTP/2 then stops the caller. Every item that was taken in is answered before the
//! stream ends, so that whoever has no answer then knows that nothing happened.

use outrigger_proto::Rpc;
use outrigger_proto::limits::BATCH_LEN_MAX;
use outrigger_proto::v1::{ErrorDetail, WriteItem, WriteRequest};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::bounded::BoundedWrite;
use super::deadline::CallDeadline;
use super::door::Asker;
use super::replies::{Flight, InFlight, Replies, Showing};
use super::room::Share;
use super::service::Service;
use super::stores::Stores;
use super::write::Patience;
use super::{convert, error};
use crate::access::Keys;
use crate::runtime::StoreHandle;
use crate::telemetry::trace;

/// Writes of one stream that wait for the log. Their bytes are bounded by admission; this bounds their number.
const FLIGHTS_MAX: usize = 256;

/// Bytes that an item takes until its reply is made: its outcome, or why it has none.
const ITEM_BYTES: usize = 128;
const FAILED_BYTES: usize = 512;

pub(super) fn open(
    service: &Service,
    asker: Asker,
    requests: Streaming<WriteRequest>,
    share: Share,
) -> Replies {
    let (flights, in_flight) = mpsc::channel(FLIGHTS_MAX);
    let intake = Intake {
        stores: service.stores.clone(),
        asker,
        requests,
        share,
        store: None,
        flights,
        ending: service.ending.clone(),
    };
    service.tasks.spawn(trace::carried(intake.run()));
    Replies::new(in_flight)
}

struct Intake {
    stores: Stores,
    asker: Asker,
    requests: Streaming<WriteRequest>,
    share: Share,
    /// The store of the whole stream, once the first message named it.
    store: Option<StoreHandle>,
    flights: mpsc::Sender<InFlight>,
    ending: CancellationToken,
}

/// Why no more is taken in.
enum Stop {
    /// The caller closed its side.
    Finished,
    Failed(ErrorDetail),
    /// The caller is gone.
    Gone,
}

impl Intake {
    async fn run(mut self) {
        let end = match self.take_all().await {
            Stop::Finished => Ok(()),
            Stop::Failed(detail) => Err(Status::from(detail)),
            Stop::Gone => return,
        };
        let _gone = self.flights.send(InFlight::End(end)).await;
    }

    async fn take_all(&mut self) -> Stop {
        loop {
            let request = tokio::select! {
                biased;
                () = self.ending.cancelled() => return Stop::Failed(error::draining()),
                () = self.flights.closed() => return Stop::Gone,
                request = self.requests.message() => request,
            };
            let taken = match request {
                Ok(Some(request)) => self.take(request).await,
                Ok(None) => return Stop::Finished,
                // If the caller is gone, nobody reads this; else the message is malformed or too large.
                Err(status) => Err(Stop::Failed(error::unreadable(&status))),
            };
            if let Err(stop) = taken {
                return stop;
            }
        }
    }

    async fn take(&mut self, request: WriteRequest) -> Result<(), Stop> {
        let store = self.store_of(&request.store).map_err(Stop::Failed)?;
        let (asked, unasked) = (request.ack, self.stores.ack);
        let patience = Patience::of(asked, unasked, request.wait_ms_max, CallDeadline::NONE);
        let patience = patience.map_err(Stop::Failed)?;
        let mut items = request.items.into_iter();
        // More than a batch in one message is legal, and its replies are bounded all the same.
        while items.len() > 0 {
            let batch = items.by_ref().take(BATCH_LEN_MAX);
            self.submit(&store, batch, patience).await?;
        }
        Ok(())
    }

    fn store_of(&mut self, name: &str) -> Result<StoreHandle, ErrorDetail> {
        if let Some(store) = &self.store {
            if name.is_empty() || name == store.name() {
                return Ok(store.clone());
            }
            let message = format!(
                "the stream is of store {:?}, and a later message names {name:?}",
                store.name()
            );
            return Err(error::invalid_request(message, "open one stream for each store"));
        }
        let store = self.stores.one(name)?.handle.clone();
        self.asker.may_begin(Rpc::Write, store.name())?;
        self.store = Some(store.clone());
        Ok(store)
    }

    async fn submit(
        &mut self,
        store: &StoreHandle,
        items: impl Iterator<Item = WriteItem>,
        patience: Patience,
    ) -> Result<(), Stop> {
        let mut changes = Vec::with_capacity(items.size_hint().0);
        let mut failed = Vec::new();
        for (index, item) in items.enumerate() {
            let allowed = self.asker.may(Rpc::Write, store.name(), Keys::One(&item.key));
            match allowed.and_then(|()| convert::change(item, store.limits())) {
                Ok(change) => changes.push(change),
                Err(detail) => failed.push((index, detail)),
            }
        }
        let items = changes.len() + failed.len();
        let cost = items * ITEM_BYTES + failed.len() * FAILED_BYTES;
        let held = tokio::select! {
            biased;
            () = self.ending.cancelled() => return Err(Stop::Failed(error::draining())),
            held = self.share.clone().hold(cost) => held,
        };
        let keys = changes.iter().map(|change| change.key.clone()).collect();
        let pending = if changes.is_empty() {
            None
        } else {
            tokio::select! {
                biased;
                // What still waits for room has not entered the core, and never will.
                () = self.ending.cancelled() => return Err(Stop::Failed(error::draining())),
                pending = store.submit(changes) => Some(BoundedWrite::new(pending, patience.log)),
            }
        };
        let store = store.clone();
        let showing = patience.copy.map(|until| Box::new(Showing::Asked { store, until }));
        let held = Some(Box::new(held));
        let flight = Flight { pending, keys, failed, items, showing, _held: held };
        self.flights.send(InFlight::Flight(Box::new(flight))).await.map_err(|_| Stop::Gone)
    }
}
