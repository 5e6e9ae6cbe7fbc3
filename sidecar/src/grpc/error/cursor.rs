//! What fails about a cursor.

use outrigger_core::stall::StallKind;
use outrigger_core::watch::cursor::CursorNameError;
use outrigger_proto::v1::{ErrorDetail, Reason};

use super::{advised, compacted, invalid_request, named, turned_away};
use crate::log::CursorsError;
use crate::runtime::{Circumstances, CursorFailure};

pub(in crate::grpc) fn cursor_name(name: &str, wrong: &CursorNameError) -> ErrorDetail {
    invalid_request(format!("{name:?} is no name of a cursor: {wrong}"), "use another name")
}

pub(in crate::grpc) fn of_cursor(
    circumstances: &Circumstances,
    failure: &CursorFailure,
) -> ErrorDetail {
    match failure {
        CursorFailure::Rejected(rejection) => turned_away(circumstances, rejection),
        CursorFailure::Lost(lost) => compacted(lost),
        CursorFailure::Back { partition, position, kept } => advised(
            Reason::CursorGoesBack,
            format!(
                "the point is at {position} in partition {partition}, and the cursor is already at {kept} there"
            ),
            "look whether somebody else commits this cursor; to go back on purpose, delete it first",
        ),
        CursorFailure::NoCursors => advised(
            Reason::Unimplemented,
            "the log of this node keeps no cursors",
            "keep points yourself",
        ),
        CursorFailure::Asking(error) => of_log(error),
        CursorFailure::Changing(error) => {
            let may_have_happened = matches!(error, CursorsError::Failed(_));
            ErrorDetail { may_have_happened, ..of_log(error) }
        }
    }
}

fn of_log(error: &CursorsError) -> ErrorDetail {
    match error {
        CursorsError::InUse { group } => advised(
            Reason::CursorInUse,
            format!("the consumer group {group}, in which the cursor is kept, has members"),
            "end the consumers that use this group, or use another name for the cursor",
        ),
        CursorsError::Denied { right, of, error } => {
            let message = format!(
                "Kafka does not allow this node to ask about cursors: the right {right} on {of} is missing"
            );
            let what_to_do = "add the ACL; cursors need Read, Describe and Delete on the groups `outrigger.STORE.` (prefixed)";
            named(advised(Reason::Authorisation, message, what_to_do), error)
        }
        CursorsError::Failed(error) => {
            let what_to_do = StallKind::of(error).what_to_do();
            let message = format!("Kafka did not answer about the cursor: {}", error.name);
            named(advised(Reason::LogUnavailable, message, what_to_do), error)
        }
    }
}
