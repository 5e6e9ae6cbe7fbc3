//! What is told to callers whom no rule allows what they ask for.

use outrigger_proto::v1::{ErrorDetail, Reason};

use super::advised;
use crate::access::{Denied, NotAllowed};
use crate::grpc::method::Method;

/// The caller is nobody that the node's rules know.
pub(in crate::grpc) fn not_let_in(denied: &Denied) -> ErrorDetail {
    let what_to_do = match denied {
        Denied::Stranger { .. } => {
            "call as somebody whom a rule of the node names under [[access]]: a user over the Unix socket, or with a \
             certificate or a bearer token"
        }
        Denied::UnknownToken => {
            "call with a token of the node's tokens_file, as `authorization: Bearer TOKEN`, or without that header"
        }
    };
    advised(Reason::Unauthenticated, denied.to_string(), what_to_do)
}

/// The caller is known, and may not do this.
pub(in crate::grpc) fn not_allowed(not_allowed: &NotAllowed) -> ErrorDetail {
    advised(
        Reason::NotAllowed,
        not_allowed.to_string(),
        "ask for less, call as somebody else, or add a rule under [[access]] in the node's configuration",
    )
}

/// The token that a stream came with is not good any more. Of writes and commits that wait for the log nobody can tell.
pub(in crate::grpc) fn token_revoked(method: Method) -> ErrorDetail {
    let detail = advised(
        Reason::Unauthenticated,
        "the bearer token that this call came with was taken away",
        "call again with a token that the node's tokens_file has",
    );
    let may_have_happened = match method {
        Method::Writes | Method::Write | Method::Cursor => true,
        Method::Read
        | Method::Stream
        | Method::Watch
        | Method::Verify
        | Method::Operate
        | Method::Probe
        | Method::Other => false,
    };
    ErrorDetail { may_have_happened, ..detail }
}
