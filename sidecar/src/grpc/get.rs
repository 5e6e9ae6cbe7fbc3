//! Get: one key from one snapshot, or from a peer's while the own copy is not READY.

use bytes::Bytes;
use outrigger_proto::Rpc;
use outrigger_proto::v1::{ErrorDetail, GetRequest, GetResponse, Value};

use super::deadline::CallDeadline;
use super::door::Asker;
use super::read::{self, Missed, Snapshot};
use super::service::Service;
use super::walk::LargeRow;
use super::{convert, error, forward};
use crate::access::Keys;
use crate::runtime::StoreHandle;

pub(super) async fn get(
    service: &Service,
    asker: &Asker,
    request: GetRequest,
    deadline: CallDeadline,
) -> Result<GetResponse, ErrorDetail> {
    let store = &service.stores.one(&request.store)?.handle;
    asker.may(Rpc::Get, store.name(), Keys::One(&request.key))?;
    match from_own_copy(store, &request, deadline).await {
        Ok(answer) => Ok(answer),
        // It is boxed: a future is moved with all that it may hold, and most reads are answered here.
        Err(missed) => Box::pin(forward::get(service, store, request, missed)).await,
    }
}

pub(super) async fn from_own_copy(
    store: &StoreHandle,
    request: &GetRequest,
    deadline: CallDeadline,
) -> Result<GetResponse, Missed> {
    let GetRequest { store: _, key, read } = request;
    let bytes_max = convert::row_bytes_max(read.as_ref());
    let Snapshot { view, copy, origin } =
        read::open(store, read.as_ref(), Some(key), deadline).await?;
    let row = {
        let _reading = origin.reading();
        view.row(key.clone()).await.map_err(|error| origin.failed(&error))?
    };
    if let Some(row) = &row {
        LargeRow::check(key, row.value.len(), row.revision, bytes_max)
            .map_err(|large| error::row_too_large(&large))?;
    }
    let found = row.map(|row| Value {
        value: Bytes::from(row.value),
        revision: Some(convert::revision(row.revision)),
    });
    Ok(GetResponse { found, copy: Some(copy) })
}
