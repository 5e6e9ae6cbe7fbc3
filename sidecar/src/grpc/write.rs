//! Put and Delete: one change, answered when the log has it.

use outrigger_core::node::{Change, Outcome};
use outrigger_core::offset::Revision;
use outrigger_proto::v1::{
    self, DeleteRequest, DeleteResponse, ErrorDetail, PutRequest, PutResponse,
};

use super::stores::Stores;
use super::{convert, error};
use crate::runtime::StoreHandle;

pub(super) async fn put(stores: &Stores, request: PutRequest) -> Result<PutResponse, ErrorDetail> {
    let store = &stores.one(&request.store)?.handle;
    let change = convert::put(request.key, request.value, store.limits())?;
    let (revision, token) = write(store, change).await?;
    Ok(PutResponse { revision: Some(revision), token: Some(token) })
}

pub(super) async fn delete(
    stores: &Stores,
    request: DeleteRequest,
) -> Result<DeleteResponse, ErrorDetail> {
    let store = &stores.one(&request.store)?.handle;
    let change = convert::delete(request.key, store.limits())?;
    let (revision, token) = write(store, change).await?;
    Ok(DeleteResponse { revision: Some(revision), token: Some(token) })
}

/// A caller that goes away does not stop the write: its outcome is then unknown to it.
async fn write(
    store: &StoreHandle,
    change: Change,
) -> Result<(v1::Revision, v1::Token), ErrorDetail> {
    let written =
        store.write(vec![change]).await.map_err(|rejection| error::of_rejection(&rejection))?;
    let [outcome] = &written.outcomes[..] else {
        unreachable!("one outcome for one change, not {}", written.outcomes.len())
    };
    let revision = appended(outcome)?;
    let position = (revision.partition, revision.offset.next());
    Ok((convert::revision(revision), convert::token_of_writes(written.topic, [position])))
}

pub(super) fn appended(outcome: &Outcome) -> Result<Revision, ErrorDetail> {
    match outcome {
        Outcome::Appended(revision) => Ok(*revision),
        Outcome::DidNotHappen(error) => Err(error::write_did_not_happen(error)),
        Outcome::Unknown(error) => Err(error::write_unknown(error)),
    }
}
