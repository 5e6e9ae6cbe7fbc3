//! Cursors: points that are kept under names, for whoever may watch some of the store.

use outrigger_core::watch::cursor::CursorName;
use outrigger_core::watch::point::Lost;
use outrigger_proto::Rpc;
use outrigger_proto::v1::{
    self, CommitCursorRequest, CommitCursorResponse, DeleteCursorRequest, DeleteCursorResponse,
    ErrorDetail, GetCursorRequest, GetCursorResponse, ListCursorsRequest, ListCursorsResponse,
};

use super::deadline::CallDeadline;
use super::door::Asker;
use super::service::Service;
use super::{convert, error};
use crate::runtime::{CursorShown, Listed};

pub(super) async fn commit(
    service: &Service,
    asker: &Asker,
    request: CommitCursorRequest,
    deadline: CallDeadline,
) -> Result<CommitCursorResponse, ErrorDetail> {
    let store = &service.stores.one(&request.store)?.handle;
    asker.may_begin(Rpc::CommitCursor, store.name())?;
    let name = convert::cursor_name(&request.name)?;
    let point = request.point.as_ref().ok_or_else(|| error::token_invalid("there is no point"))?;
    let point = convert::core_point(point)?;
    let committed = store.commit_cursor(&name, point, deadline.wait(None)).await;
    committed.map_err(|failure| error::of_cursor(store.circumstances(), &failure))?;
    Ok(CommitCursorResponse {})
}

pub(super) async fn get(
    service: &Service,
    asker: &Asker,
    request: GetCursorRequest,
    deadline: CallDeadline,
) -> Result<GetCursorResponse, ErrorDetail> {
    let store = &service.stores.one(&request.store)?.handle;
    asker.may_begin(Rpc::GetCursor, store.name())?;
    let name = convert::cursor_name(&request.name)?;
    let found = store.cursor_reached(&name, deadline.wait(None)).await;
    let found = found.map_err(|failure| error::of_cursor(store.circumstances(), &failure))?;
    let shown = found.map_err(|lost| error::compacted(&lost))?;
    Ok(GetCursorResponse { cursor: Some(cursor(&name, &Ok(shown))) })
}

pub(super) async fn list(
    service: &Service,
    asker: &Asker,
    request: ListCursorsRequest,
    deadline: CallDeadline,
) -> Result<ListCursorsResponse, ErrorDetail> {
    let store = &service.stores.one(&request.store)?.handle;
    asker.may_begin(Rpc::ListCursors, store.name())?;
    let listed = store.list_cursors(deadline.wait(None)).await;
    let Listed { cursors, more } =
        listed.map_err(|failure| error::of_cursor(store.circumstances(), &failure))?;
    let cursors = cursors.iter().map(|(name, found)| cursor(name, found)).collect();
    Ok(ListCursorsResponse { cursors, more })
}

pub(super) async fn delete(
    service: &Service,
    asker: &Asker,
    request: DeleteCursorRequest,
) -> Result<DeleteCursorResponse, ErrorDetail> {
    let store = &service.stores.one(&request.store)?.handle;
    asker.may_begin(Rpc::DeleteCursor, store.name())?;
    let name = convert::cursor_name(&request.name)?;
    let deleted = store.delete_cursor(&name).await;
    deleted.map_err(|failure| error::of_cursor(store.circumstances(), &failure))?;
    tracing::info!(store = store.name(), cursor = %name, by = asker.told(), "a cursor is deleted");
    Ok(DeleteCursorResponse {})
}

fn cursor(name: &CursorName, found: &Result<CursorShown, Lost>) -> v1::Cursor {
    let name = name.to_string();
    match found {
        Ok(CursorShown { cursor, behind }) => v1::Cursor {
            name,
            point: Some(convert::point(&cursor.point)),
            behind_records: Some(*behind),
            committed_at_ms: Some(cursor.committed_at_ms),
            lost: None,
        },
        Err(lost) => {
            v1::Cursor { name, lost: Some(error::compacted(lost)), ..v1::Cursor::default() }
        }
    }
}
