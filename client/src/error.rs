//! What a failed call means for its caller. The only place of the client that reads a status.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::tls::TlsError;
use outrigger_proto::v1::{ErrorDetail, Reason};
use tonic::{Code, ConnectError, Status, TimeoutExpired};

/// Why a call failed, and whether it may have had an effect.
#[derive(Clone, Debug)]
pub struct Error(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    kind: ErrorKind,
    may_have_happened: bool,
    detail: ErrorDetail,
    source: Option<Status>,
}

/// What a caller can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The address of the node is not one, or what TLS needs beside it cannot be used: correct it.
    Address,
    /// There was no connection, so nothing was sent: try again, or another node.
    Unreachable,
    /// The request is wrong and will be everywhere: correct it.
    Invalid,
    /// What the session has seen is not in this log any more: begin a [new
    /// session](crate::Store::new_session), knowing that the state may be an older or another one.
    SessionLost,
    /// The node cannot prove that it has everything since the point of a watch, or does not know its cursor: begin with the
    /// state.
    Compacted,
    /// This node cannot answer now: wait, or try another node.
    Unavailable,
    /// Too much is waiting: slow down.
    Overloaded,
    /// The node, or Kafka, refuses until a person acts.
    Refused,
    /// Time ran out.
    Deadline,
    /// The log has not taken the write and never will: writing again is safe.
    NotWritten,
    /// The node does not know whether the log has taken the write: read before writing again.
    Unknown,
    /// The connection broke, or the answer makes no sense.
    Broken,
}

/// What a call can leave behind when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it only reads.
    None,
    /// A record in the log, or a cursor.
    Write,
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether a write may have taken effect, or may still do so, although it failed.
    ///
    /// It is `false` only when that is certain: nothing had been sent, or the node said so. For
    /// reads, which have no effect, it is always `false`.
    pub fn may_have_happened(&self) -> bool {
        self.0.may_have_happened
    }

    /// The node's name of the failure, when it was the node that failed the call.
    pub fn reason(&self) -> Option<Reason> {
        match self.0.detail.reason() {
            Reason::Unspecified => None,
            reason => Some(reason),
        }
    }

    /// For people: what to do about it, where the node said so; else empty.
    pub fn what_to_do(&self) -> &str {
        &self.0.detail.what_to_do
    }

    /// Kafka's name of its error, when it was the log that failed.
    pub fn kafka_error(&self) -> Option<&str> {
        Some(self.0.detail.kafka_error.as_str()).filter(|name| !name.is_empty())
    }

    /// A failed call.
    ///
    /// Doubt is the default: a write may have happened unless the connection was never made, or had ended when the call
    /// came to it, or the node says in so many words that it did not.
    pub(crate) fn of_call(effect: Effect, status: Status) -> Error {
        if caused_by::<ConnectError>(&status) {
            return Error::unreachable(&status);
        }
        if was_not_sent(&status) {
            return Error::not_taken(&status);
        }
        if let Some(detail) = ErrorDetail::from_status(&status) {
            let kind = kind_of_reason(detail.reason()).unwrap_or(kind_of_code(status.code()));
            return Error::new(kind, effect, detail).because(status);
        }
        let kind = if caused_by::<TimeoutExpired>(&status) {
            ErrorKind::Deadline
        } else if caused_by::<tonic::transport::Error>(&status) {
            // This is also a connection that is found dead by its keepalive, whatever code a
            // library has for that.
            ErrorKind::Broken
        } else {
            kind_of_code(status.code())
        };
        let broke = kind == ErrorKind::Broken && caused_by::<hyper::Error>(&status);
        let message = if broke { "the connection broke" } else { status.message() };
        Error::in_doubt(kind, effect, with_causes(message, &status)).because(status)
    }

    /// A failed item of a Write stream.
    pub(crate) fn of_item(detail: ErrorDetail) -> Error {
        let kind = kind_of_reason(detail.reason()).unwrap_or(ErrorKind::Broken);
        Error::new(kind, Effect::Write, detail)
    }

    /// Nobody answers at the address.
    pub(crate) fn no_node(address: &str, cause: &(dyn StdError + 'static)) -> Error {
        let message = with_causes(&format!("cannot connect to {address}"), cause);
        Error::definite(ErrorKind::Unreachable, message)
    }

    /// There was no connection for a call, so nothing was sent.
    fn unreachable(cause: &(dyn StdError + 'static)) -> Error {
        Error::definite(ErrorKind::Unreachable, with_causes("cannot connect to the node", cause))
    }

    /// There was a connection, and it ended before the call was sent on it.
    fn not_taken(cause: &(dyn StdError + 'static)) -> Error {
        Error::definite(ErrorKind::Broken, with_causes("nothing was sent", cause))
    }

    pub(crate) fn deadline(effect: Effect, deadline: Duration) -> Error {
        Error::in_doubt(ErrorKind::Deadline, effect, format!("no answer within {deadline:?}"))
    }

    /// The node's answer breaks the protocol.
    pub(crate) fn protocol(effect: Effect, what: &str) -> Error {
        let message = format!("the node's answer is not understood: {what}");
        Error::in_doubt(ErrorKind::Broken, effect, message)
    }

    /// The Write stream ended with no answer to what was sent on it.
    pub(crate) fn unanswered(what: &str) -> Error {
        Error::in_doubt(ErrorKind::Broken, Effect::Write, what.to_owned())
    }

    /// The Write stream ended before this item was sent.
    pub(crate) fn never_sent() -> Error {
        let message = "the write stream has ended, and this write was not sent";
        Error::definite(ErrorKind::Broken, message.to_owned())
    }

    /// A request that this library does not send.
    pub(crate) fn invalid(reason: Reason, message: String) -> Error {
        Error::new(ErrorKind::Invalid, Effect::None, ErrorDetail::new(reason, message))
    }

    pub(crate) fn session_lost(message: &str) -> Error {
        let detail = ErrorDetail::new(Reason::TokenOfAnotherTopic, message);
        Error::new(ErrorKind::SessionLost, Effect::None, detail)
    }

    /// What a watch has told is to be forgotten.
    pub(crate) fn compacted(why: ErrorDetail) -> Error {
        Error::new(ErrorKind::Compacted, Effect::None, why)
    }

    pub(crate) fn address(address: &str, fault: &str) -> Error {
        let message = format!(
            "{address:?} is not the address of a node: {fault}; \
             write http://127.0.0.1:7400, unix:///run/outrigger.sock, or for TLS https://127.0.0.1:7400"
        );
        Error::definite(ErrorKind::Address, message)
    }

    /// Files of TLS cannot be used; nothing was connected to.
    pub(crate) fn tls(fault: &TlsError) -> Error {
        Error::definite(ErrorKind::Address, format!("TLS: {fault}"))
    }

    fn new(kind: ErrorKind, effect: Effect, detail: ErrorDetail) -> Error {
        let may_have_happened = effect == Effect::Write && detail.may_have_happened;
        Error(Box::new(Facts { kind, may_have_happened, detail, source: None }))
    }

    fn definite(kind: ErrorKind, message: String) -> Error {
        Error::new(kind, Effect::None, ErrorDetail::new(Reason::Unspecified, message))
    }

    fn in_doubt(kind: ErrorKind, effect: Effect, message: String) -> Error {
        let mut detail = ErrorDetail::new(Reason::Unspecified, message);
        detail.may_have_happened = true;
        Error::new(kind, effect, detail)
    }

    fn because(mut self, status: Status) -> Error {
        self.0.source = Some(status);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail.message)?;
        match self.what_to_do() {
            "" => Ok(()),
            what_to_do => write!(f, "; {what_to_do}"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|status| status as _)
    }
}

/// `None` for a reason that this version does not know.
fn kind_of_reason(reason: Reason) -> Option<ErrorKind> {
    Some(match reason {
        Reason::Unspecified => return None,
        Reason::UnknownStore
        | Reason::StoreNotNamed
        | Reason::KeyTooLarge
        | Reason::ValueTooLarge
        | Reason::InvalidRange
        | Reason::InvalidRequest
        | Reason::RequestTooLarge
        | Reason::Unimplemented
        | Reason::RowTooLarge
        | Reason::CursorGoesBack
        | Reason::TokenInvalid => ErrorKind::Invalid,
        Reason::PositionPassed => ErrorKind::Unavailable,
        Reason::TokenOfAnotherTopic | Reason::TokenBeyondLog | Reason::TokenOfAnotherHistory => {
            ErrorKind::SessionLost
        }
        Reason::Compacted => ErrorKind::Compacted,
        Reason::NotReady
        | Reason::Restoring
        | Reason::TooStale
        | Reason::Draining
        | Reason::LogUnavailable
        | Reason::StoreFailed => ErrorKind::Unavailable,
        Reason::Overloaded => ErrorKind::Overloaded,
        Reason::DeadlineExceeded => ErrorKind::Deadline,
        Reason::RefusedIdentity
        | Reason::RefusedTopicPolicy
        | Reason::RefusedLogIncomplete
        | Reason::RefusedCancelled
        | Reason::WrongPhase
        | Reason::Unauthenticated
        | Reason::NotAllowed
        | Reason::CursorInUse
        | Reason::Authorisation => ErrorKind::Refused,
        Reason::WriteDidNotHappen => ErrorKind::NotWritten,
        Reason::WriteUnknown => ErrorKind::Unknown,
    })
}

fn kind_of_code(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::Unimplemented => ErrorKind::Invalid,
        Code::DeadlineExceeded => ErrorKind::Deadline,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::ResourceExhausted => ErrorKind::Overloaded,
        Code::FailedPrecondition | Code::PermissionDenied | Code::Unauthenticated => {
            ErrorKind::Refused
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => ErrorKind::Broken,
    }
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

fn caused_by<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<E>())
}

/// Whether the connection had ended when the call came to it. hyper says so of nothing that it has begun to send.
fn was_not_sent(status: &Status) -> bool {
    causes(status).filter_map(|cause| cause.downcast_ref()).any(hyper::Error::is_canceled)
}

/// The root cause is what people need: "connection refused", not "transport error".
fn with_causes(message: &str, error: &(dyn StdError + 'static)) -> String {
    match causes(error).last().map(|root| root.to_string()) {
        Some(root) if !root.contains(message) && error.source().is_some() => {
            format!("{message}: {root}")
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::{TokioExecutor, TokioIo};

    use super::*;

    fn all_reasons() -> impl Iterator<Item = Reason> {
        (1..1_000).filter_map(|number| Reason::try_from(number).ok())
    }

    fn of_node(reason: Reason, may_have_happened: bool) -> Status {
        ErrorDetail { may_have_happened, ..ErrorDetail::new(reason, "text") }.into()
    }

    fn not_connected() -> Status {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        Status::from_error(Box::new(ConnectError(Box::new(refused))))
    }

    #[test]
    fn a_write_without_the_nodes_word_may_have_happened() {
        let codes = (1..=16).map(Code::from);
        let broken = codes.map(|code| Status::new(code, "of a proxy, a library or a connection"));
        for status in broken.chain([Status::from_error(Box::new(TimeoutExpired(())))]) {
            let code = status.code();
            assert!(Error::of_call(Effect::Write, status).may_have_happened(), "{code:?}");
        }
        assert!(Error::deadline(Effect::Write, Duration::ZERO).may_have_happened());
        assert!(Error::protocol(Effect::Write, "nonsense").may_have_happened());
        assert!(Error::unanswered("the end").may_have_happened());
    }

    /// What becomes of a call whose connection ends before it takes it.
    async fn not_taken() -> Status {
        let (here, _there) = tokio::io::duplex(1_024);
        let (executor, io) = (TokioExecutor::new(), TokioIo::new(here));
        let connected = hyper::client::conn::http2::handshake(executor, io).await;
        let (mut sender, connection) = connected.expect("it waits for no answer");
        let request = hyper::Request::new(String::new());
        let answer = sender.send_request(request);
        drop(connection);
        Status::from_error(Box::new(answer.await.expect_err("nobody took it")))
    }

    #[tokio::test]
    async fn a_write_that_was_not_sent_did_not_happen() {
        for (status, kind) in
            [(not_connected(), ErrorKind::Unreachable), (not_taken().await, ErrorKind::Broken)]
        {
            let error = Error::of_call(Effect::Write, status);
            assert!(!error.may_have_happened(), "{error:?}");
            assert_eq!(error.kind(), kind);
        }
        let error = Error::of_call(Effect::Write, not_connected());
        assert!(error.to_string().contains("refused"), "{error}");
        assert!(!Error::never_sent().may_have_happened());
    }

    #[test]
    fn the_nodes_word_on_a_write_is_taken() {
        for reason in all_reasons() {
            for may_have_happened in [false, true] {
                let status = of_node(reason, may_have_happened);
                let item = ErrorDetail::from_status(&status).expect("details are there");
                for error in [Error::of_call(Effect::Write, status), Error::of_item(item)] {
                    assert_eq!(error.may_have_happened(), may_have_happened, "{reason:?}");
                    assert_eq!(error.reason(), Some(reason));
                    assert_ne!(error.kind(), ErrorKind::Broken, "{reason:?} has no meaning");
                }
            }
        }
    }

    #[test]
    fn a_read_has_no_effect_however_it_fails() {
        for status in [not_connected(), Status::unknown("lost"), of_node(Reason::NotReady, true)] {
            assert!(!Error::of_call(Effect::None, status).may_have_happened());
        }
        assert!(!Error::deadline(Effect::None, Duration::ZERO).may_have_happened());
    }

    #[test]
    fn a_timeout_is_a_deadline_whoever_noticed_it() {
        for status in [
            Status::from_error(Box::new(TimeoutExpired(()))),
            Status::deadline_exceeded("a proxy's"),
            of_node(Reason::DeadlineExceeded, false),
        ] {
            assert_eq!(Error::of_call(Effect::None, status).kind(), ErrorKind::Deadline);
        }
    }

    #[test]
    fn the_text_says_what_happened_and_what_to_do() {
        let mut detail = ErrorDetail::new(Reason::WriteDidNotHappen, "the log refused the record");
        detail.what_to_do = "raise max.message.bytes".to_owned();
        detail.kafka_error = "MSG_SIZE_TOO_LARGE".to_owned();
        let error = Error::of_call(Effect::Write, detail.into());
        assert_eq!(error.to_string(), "the log refused the record; raise max.message.bytes");
        assert_eq!(error.kafka_error(), Some("MSG_SIZE_TOO_LARGE"));
        assert_eq!(error.kind(), ErrorKind::NotWritten);
    }
}
