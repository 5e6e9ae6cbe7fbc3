//! Put and Delete: one change, answered when the log has it, or when reads of this node find it.

use std::time::{Duration, Instant};

use outrigger_core::node::{Change, Outcome};
use outrigger_core::offset::Revision;
use outrigger_core::partitioner::partition_of;
use outrigger_proto::Rpc;
use outrigger_proto::v1::{
    self, DeleteRequest, DeleteResponse, ErrorDetail, PutRequest, PutResponse,
};

use super::bounded::BoundedWrite;
use super::deadline::CallDeadline;
use super::door::Asker;
use super::stores::Stores;
use super::{convert, error};
use crate::access::Keys;
use crate::config::Ack;
use crate::runtime::StoreHandle;

/// What a write waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long for the log; none: as long as the log's client tries.
    pub(super) log: Option<Duration>,
    /// Until when for this node's copy; none: not for that.
    pub(super) copy: Option<Instant>,
}

struct Answer {
    revision: v1::Revision,
    token: v1::Token,
    applied: bool,
}

impl Patience {
    /// Checks what a request allows. `unasked`: when it is answered where it does not ask for either.
    pub(super) fn of(
        ack: i32,
        unasked: Ack,
        wait_ms_max: Option<u64>,
        deadline: CallDeadline,
    ) -> Result<Patience, ErrorDetail> {
        let log = convert::write_wait(wait_ms_max, deadline)?;
        let applied = convert::ack(ack, unasked)? == Ack::Applied;
        let copy = applied.then(|| Instant::now() + deadline.wait(wait_ms_max));
        Ok(Patience { log, copy })
    }
}

pub(super) async fn put(
    stores: &Stores,
    asker: &Asker,
    request: PutRequest,
    deadline: CallDeadline,
) -> Result<PutResponse, ErrorDetail> {
    let store = &stores.one(&request.store)?.handle;
    asker.may(Rpc::Put, store.name(), Keys::One(&request.key))?;
    let patience = Patience::of(request.ack, stores.ack, request.wait_ms_max, deadline)?;
    let change = convert::put(request.key, request.value, store.limits())?;
    let Answer { revision, token, applied } = write(store, change, patience).await?;
    Ok(PutResponse { revision: Some(revision), token: Some(token), applied })
}

pub(super) async fn delete(
    stores: &Stores,
    asker: &Asker,
    request: DeleteRequest,
    deadline: CallDeadline,
) -> Result<DeleteResponse, ErrorDetail> {
    let store = &stores.one(&request.store)?.handle;
    asker.may(Rpc::Delete, store.name(), Keys::One(&request.key))?;
    let patience = Patience::of(request.ack, stores.ack, request.wait_ms_max, deadline)?;
    let change = convert::delete(request.key, store.limits())?;
    let Answer { revision, token, applied } = write(store, change, patience).await?;
    Ok(DeleteResponse { revision: Some(revision), token: Some(token), applied })
}

/// Writes one change. A caller that goes away does not stop the write: its outcome is then unknown to it.
async fn write(
    store: &StoreHandle,
    change: Change,
    patience: Patience,
) -> Result<Answer, ErrorDetail> {
    let key = change.key.clone();
    let pending = store.begin_write(vec![change]);
    let pending = pending.map_err(|rejection| error::of_rejection(&rejection))?;
    let written = BoundedWrite::new(pending, patience.log).await?;
    let [outcome] = &written.outcomes[..] else {
        unreachable!("one outcome for one change, not {}", written.outcomes.len())
    };
    let revision = appended(outcome, &key, written.partitions)?;
    let reached = [(revision.partition, revision.offset.next())];
    let applied = match patience.copy {
        None => false,
        // It is boxed: a future is moved with all that it may hold, and most writes do not ask for this.
        Some(until) => Box::pin(store.shows(written.topic, reached, until)).await,
    };
    let token = convert::token_of_writes(written.topic, reached);
    Ok(Answer { revision: convert::revision(revision), token, applied })
}

/// Returns the answer to a change of `key` in a topic with this many partitions.
pub(super) fn appended(
    outcome: &Outcome,
    key: &[u8],
    partitions: u32,
) -> Result<Revision, ErrorDetail> {
    let detail = match outcome {
        Outcome::Appended(revision) => return Ok(*revision),
        Outcome::DidNotHappen(error) => error::write_did_not_happen(error),
        Outcome::Unknown(error) => error::write_unknown(error),
    };
    Err(error::of_partition(detail, partition_of(key, partitions)))
}
