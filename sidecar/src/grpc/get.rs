//! Get: one key from one snapshot.

use bytes::Bytes;
use outrigger_proto::Rpc;
use outrigger_proto::v1::{ErrorDetail, GetRequest, GetResponse, Value};

use super::cursor::LargeRow;
use super::deadline::CallDeadline;
use super::door::Asker;
use super::read::{self, Snapshot};
use super::stores::Stores;
use super::{convert, error};
use crate::access::Keys;

pub(super) async fn get(
    stores: &Stores,
    asker: &Asker,
    request: GetRequest,
    deadline: CallDeadline,
) -> Result<GetResponse, ErrorDetail> {
    let store = stores.one(&request.store)?;
    asker.may(Rpc::Get, store.handle.name(), Keys::One(&request.key))?;
    let bytes_max = convert::row_bytes_max(request.read.as_ref());
    let Snapshot { view, copy, origin } =
        read::open(&store.handle, request.read, Some(&request.key), deadline).await?;
    let row = view.row(request.key.clone()).await.map_err(|error| origin.failed(&error))?;
    if let Some(row) = &row {
        LargeRow::check(&request.key, row.value.len(), row.revision, bytes_max)
            .map_err(|large| error::row_too_large(&large))?;
    }
    let found = row.map(|row| Value {
        value: Bytes::from(row.value),
        revision: Some(convert::revision(row.revision)),
    });
    Ok(GetResponse { found, copy: Some(copy) })
}
