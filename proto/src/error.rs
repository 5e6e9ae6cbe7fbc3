//! How a failure travels: the status code of each reason, and an [`ErrorDetail`] in a status and out of it again (as a
//! `google.rpc.ErrorInfo`). This is the only place on either side that knows it.

use std::collections::HashMap;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::v1::{ErrorDetail, Reason};

/// The `domain` of every `google.rpc.ErrorInfo` that a node sends.
pub const ERROR_DOMAIN: &str = "outrigger.v1";

/// Statuses travel in HTTP headers, some of their text three times and escaped, and 16 KiB of
/// headers is the default bound: a longer one would turn a named failure into a broken stream.
const TEXT_BYTES_MAX: usize = 1024;

/// Trailing metadata, for callers without a decoder of `google.rpc.ErrorInfo`: the reason's name.
pub const REASON_METADATA: &str = "outrigger-reason";

/// Trailing metadata for the same callers: whether a write may have happened, "true" or "false".
pub const MAY_HAVE_HAPPENED_METADATA: &str = "outrigger-may-have-happened";

const MAY_HAVE_HAPPENED: &str = "may_have_happened";
const WHAT_TO_DO: &str = "what_to_do";
const KAFKA_ERROR: &str = "kafka_error";

impl Reason {
    /// The status code of a call that fails so.
    pub fn code(self) -> Code {
        match self {
            Reason::Unspecified => Code::Unknown,
            Reason::UnknownStore => Code::NotFound,
            Reason::StoreNotNamed
            | Reason::KeyTooLarge
            | Reason::ValueTooLarge
            | Reason::InvalidRange
            | Reason::InvalidRequest
            | Reason::RequestTooLarge
            | Reason::TokenInvalid => Code::InvalidArgument,
            Reason::Unimplemented => Code::Unimplemented,
            Reason::TokenOfAnotherTopic
            | Reason::TokenBeyondLog
            | Reason::PositionPassed
            | Reason::CursorGoesBack
            | Reason::CursorInUse
            | Reason::RowTooLarge
            | Reason::TokenOfAnotherHistory
            | Reason::RefusedIdentity
            | Reason::RefusedTopicPolicy
            | Reason::WrongPhase
            | Reason::RefusedLogIncomplete
            | Reason::RefusedCancelled => Code::FailedPrecondition,
            Reason::NotReady
            | Reason::Restoring
            | Reason::TooStale
            | Reason::Draining
            | Reason::LogUnavailable => Code::Unavailable,
            Reason::Overloaded => Code::ResourceExhausted,
            Reason::DeadlineExceeded => Code::DeadlineExceeded,
            Reason::WriteDidNotHappen => Code::Aborted,
            // It is never UNAVAILABLE: proxies and service configurations repeat such calls by themselves.
            Reason::WriteUnknown => Code::Unknown,
            Reason::Unauthenticated => Code::Unauthenticated,
            Reason::NotAllowed | Reason::Authorisation => Code::PermissionDenied,
            Reason::Compacted => Code::OutOfRange,
            Reason::StoreFailed => Code::Internal,
        }
    }
}

impl ErrorDetail {
    /// A failure without further facts. It is definite, except for the one reason that means doubt.
    pub fn new(reason: Reason, message: impl Into<String>) -> ErrorDetail {
        ErrorDetail {
            reason: reason.into(),
            may_have_happened: reason == Reason::WriteUnknown,
            message: message.into(),
            what_to_do: String::new(),
            kafka_error: String::new(),
        }
    }

    /// What a status says, when it comes from an Outrigger node; `None` for one that a proxy or a
    /// gRPC library made. A reason that this version does not know becomes `REASON_UNSPECIFIED`.
    pub fn from_status(status: &Status) -> Option<ErrorDetail> {
        let mut info = status.get_details_error_info()?;
        if info.domain != ERROR_DOMAIN {
            return None;
        }
        let reason = Reason::from_str_name(&info.reason).unwrap_or(Reason::Unspecified);
        Some(ErrorDetail {
            reason: reason.into(),
            // Anything but a plain "false" is doubt.
            may_have_happened: info.metadata.get(MAY_HAVE_HAPPENED).is_none_or(|v| v != "false"),
            message: status.message().to_owned(),
            what_to_do: info.metadata.remove(WHAT_TO_DO).unwrap_or_default(),
            kafka_error: info.metadata.remove(KAFKA_ERROR).unwrap_or_default(),
        })
    }
}

impl From<ErrorDetail> for Status {
    fn from(detail: ErrorDetail) -> Status {
        let reason = detail.reason();
        let mut metadata =
            HashMap::from([(MAY_HAVE_HAPPENED.to_owned(), detail.may_have_happened.to_string())]);
        for (name, text) in [(WHAT_TO_DO, detail.what_to_do), (KAFKA_ERROR, detail.kafka_error)] {
            if !text.is_empty() {
                metadata.insert(name.to_owned(), shortened(text));
            }
        }
        let details = ErrorDetails::with_error_info(reason.as_str_name(), ERROR_DOMAIN, metadata);
        Status::with_error_details_and_metadata(
            reason.code(),
            shortened(detail.message),
            details,
            plain(reason, detail.may_have_happened),
        )
    }
}

fn plain(reason: Reason, may_have_happened: bool) -> MetadataMap {
    let mut plain = MetadataMap::with_capacity(2);
    plain.insert(REASON_METADATA, MetadataValue::from_static(reason.as_str_name()));
    let doubt = if may_have_happened { "true" } else { "false" };
    plain.insert(MAY_HAVE_HAPPENED_METADATA, MetadataValue::from_static(doubt));
    plain
}

fn shortened(mut text: String) -> String {
    const ELLIPSIS: &str = "...";
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - ELLIPSIS.len()));
        text.push_str(ELLIPSIS);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_reasons() -> impl Iterator<Item = Reason> {
        (0..1_000).filter_map(|number| Reason::try_from(number).ok())
    }

    fn detail_of_everything() -> ErrorDetail {
        ErrorDetail {
            reason: Reason::WriteUnknown.into(),
            may_have_happened: true,
            message: "no answer from the log within 10 s: 100 % unclear".to_owned(),
            what_to_do: "read the key before writing again".to_owned(),
            kafka_error: "_MSG_TIMED_OUT".to_owned(),
        }
    }

    #[test]
    fn a_detail_survives_its_way_through_a_status() {
        let detail = detail_of_everything();
        let status = Status::from(detail.clone());
        assert_eq!(status.code(), Code::Unknown);
        assert_eq!(ErrorDetail::from_status(&status), Some(detail));
    }

    #[test]
    fn every_reason_survives_and_none_is_ok() {
        for reason in all_reasons() {
            assert_ne!(reason.code(), Code::Ok, "{reason:?}");
            let status = Status::from(ErrorDetail::new(reason, "text"));
            let back = ErrorDetail::from_status(&status).expect("details are there");
            assert_eq!(back.reason(), reason);
            assert_eq!(back.may_have_happened, reason == Reason::WriteUnknown, "{reason:?}");
        }
        assert!(all_reasons().count() > 20);
    }

    #[test]
    fn reason_and_doubt_are_plain_text_too() {
        for reason in all_reasons() {
            let status = Status::from(ErrorDetail::new(reason, "text"));
            let plain = |name| status.metadata().get(name).and_then(|value| value.to_str().ok());
            assert_eq!(plain(REASON_METADATA), Some(reason.as_str_name()));
            let doubt = (reason == Reason::WriteUnknown).to_string();
            assert_eq!(plain(MAY_HAVE_HAPPENED_METADATA), Some(&doubt[..]), "{reason:?}");
        }
    }

    #[test]
    fn the_proto_file_documents_the_code_of_every_reason() {
        let proto = include_str!("../proto/outrigger/v1/outrigger.proto");
        for reason in all_reasons().filter(|reason| *reason != Reason::Unspecified) {
            let declaration = format!("  {} = {};", reason.as_str_name(), i32::from(reason));
            let before = proto.split(&declaration).next().expect("split yields a first part");
            assert!(before.len() < proto.len(), "not found: {declaration}");
            let documented = before.rsplit_once("// [").expect("a comment with a code").1;
            let code = documented.split(']').next().expect("split yields a first part");
            assert_eq!(code, upper_snake_case(reason.code()), "{reason:?}");
            assert_eq!(documented.matches(" = ").count(), 0, "{reason:?} has a comment of its own");
        }
    }

    fn upper_snake_case(code: Code) -> String {
        let mut name = String::new();
        for letter in format!("{code:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }

    #[test]
    fn doubt_is_what_a_status_without_a_plain_false_means() {
        let info = ErrorDetails::with_error_info(
            "REASON_OF_A_LATER_VERSION",
            ERROR_DOMAIN,
            HashMap::<String, String>::new(),
        );
        let status = Status::with_error_details(Code::Unavailable, "later", info);
        let detail = ErrorDetail::from_status(&status).expect("it is ours");
        assert_eq!(detail.reason(), Reason::Unspecified);
        assert!(detail.may_have_happened);
    }

    #[test]
    fn a_status_of_others_has_no_detail() {
        assert_eq!(ErrorDetail::from_status(&Status::unavailable("a proxy's")), None);
        let info =
            ErrorDetails::with_error_info("QUOTA", "example.org", HashMap::<String, String>::new());
        let status = Status::with_error_details(Code::Unavailable, "another's", info);
        assert_eq!(ErrorDetail::from_status(&status), None);
    }

    #[test]
    fn a_long_text_is_cut_so_that_headers_can_carry_it() {
        let mut detail = detail_of_everything();
        detail.message = "ä".repeat(100_000);
        detail.what_to_do = "ö".repeat(100_000);
        let status = Status::from(detail);
        assert!(status.message().ends_with("..."));
        let headers = status.into_http::<()>();
        let bytes: usize = headers.headers().iter().map(|(k, v)| k.as_str().len() + v.len()).sum();
        assert!(bytes < 16 * 1024, "{bytes}");
    }
}
