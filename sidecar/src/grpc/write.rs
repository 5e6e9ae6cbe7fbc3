//! Put and Delete: one change, answered when the log has it.

use std::time::Duration;

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
use crate::runtime::StoreHandle;

pub(super) async fn put(
    stores: &Stores,
    asker: &Asker,
    request: PutRequest,
    deadline: CallDeadline,
) -> Result<PutResponse, ErrorDetail> {
    let store = &stores.one(&request.store)?.handle;
    asker.may(Rpc::Put, store.name(), Keys::One(&request.key))?;
    let wait_max = convert::write_wait(request.wait_ms_max, deadline)?;
    let change = convert::put(request.key, request.value, store.limits())?;
    let (revision, token) = write(store, change, wait_max).await?;
    Ok(PutResponse { revision: Some(revision), token: Some(token) })
}

pub(super) async fn delete(
    stores: &Stores,
    asker: &Asker,
    request: DeleteRequest,
    deadline: CallDeadline,
) -> Result<DeleteResponse, ErrorDetail> {
    let store = &stores.one(&request.store)?.handle;
    asker.may(Rpc::Delete, store.name(), Keys::One(&request.key))?;
    let wait_max = convert::write_wait(request.wait_ms_max, deadline)?;
    let change = convert::delete(request.key, store.limits())?;
    let (revision, token) = write(store, change, wait_max).await?;
    Ok(DeleteResponse { revision: Some(revision), token: Some(token) })
}

/// Writes one change. A caller that goes away does not stop the write: its outcome is then unknown to it.
async fn write(
    store: &StoreHandle,
    change: Change,
    wait_max: Option<Duration>,
) -> Result<(v1::Revision, v1::Token), ErrorDetail> {
    let key = change.key.clone();
    let pending = store.begin_write(vec![change]);
    let pending = pending.map_err(|rejection| error::of_rejection(&rejection))?;
    let written = BoundedWrite::new(pending, wait_max).await?;
    let [outcome] = &written.outcomes[..] else {
        unreachable!("one outcome for one change, not {}", written.outcomes.len())
    };
    let revision = appended(outcome, &key, written.partitions)?;
    let position = (revision.partition, revision.offset.next());
    Ok((convert::revision(revision), convert::token_of_writes(written.topic, [position])))
}

/// Returns the answer to a change of `key` in a topic with so many partitions.
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
