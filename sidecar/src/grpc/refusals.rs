//! Refusals that tonic makes before a call reaches us (a message that is too large or cannot be decoded, a method
//! that does not exist) get the details that our own have.
//!
//! A call that reached us ends with details of ours, or in its trailers. So a failure in the head of a response
//! without our reason proves that nothing was done.

use outrigger_proto::REASON_METADATA;
use outrigger_proto::v1::Reason;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::{Code, Status};

use super::error;

/// Gives details to the refusals of a service whose every failure has them.
pub(super) fn with_details<B>(response: Response<B>) -> Response<B> {
    match refusal(&response) {
        Some(refusal) => renamed(response, &refusal),
        None => response,
    }
}

/// Gives details to what no service answers, for the whole server. A service may refuse so itself, in words of its own.
pub(super) fn unknown_with_details<B>(response: Response<B>) -> Response<B> {
    match refusal(&response).filter(|refusal| refusal.code() == Code::Unimplemented) {
        Some(refusal) => renamed(response, &refusal),
        None => response,
    }
}

/// Returns why a call failed, from the head or the trailers of its answer; none for good answers, and for failures of
/// services that are not ours.
pub(super) fn reason(headers: &HeaderMap) -> Option<Reason> {
    let name = headers.get(REASON_METADATA)?.to_str().ok()?;
    Some(Reason::from_str_name(name).unwrap_or(Reason::Unspecified))
}

fn refusal<B>(response: &Response<B>) -> Option<Status> {
    let headers = response.headers();
    // Nearly all answers are good ones, and have no status here.
    if !headers.contains_key(Status::GRPC_STATUS) || headers.contains_key(REASON_METADATA) {
        return None;
    }
    Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)
}

fn renamed<B>(mut response: Response<B>, refusal: &Status) -> Response<B> {
    let status = Status::from(error::unreadable(refusal));
    status.add_header(response.headers_mut()).expect("text is escaped and details are encoded");
    response
}

#[cfg(test)]
mod tests {
    use outrigger_proto::v1::ErrorDetail;

    use super::*;

    fn answer(status: Status) -> Response<()> {
        status.into_http()
    }

    fn told(response: &Response<()>) -> (Option<Reason>, Code) {
        let status = Status::from_header_map(response.headers()).expect("a failure");
        let detail = ErrorDetail::from_status(&status);
        if let Some(detail) = &detail {
            assert!(!detail.may_have_happened && !detail.message.is_empty(), "{detail:?}");
            assert!(!detail.what_to_do.is_empty(), "{detail:?}");
            assert_eq!(detail.reason().code(), status.code());
        }
        (detail.map(|detail| detail.reason()), status.code())
    }

    #[test]
    fn what_tonic_refuses_gets_our_details() {
        let table = [
            (Status::out_of_range("found 5 bytes"), Reason::RequestTooLarge),
            (Status::unimplemented(""), Reason::Unimplemented),
            (Status::unimplemented("compressed with `br`"), Reason::Unimplemented),
            (Status::internal("invalid wire type"), Reason::InvalidRequest),
            (Status::internal("Missing request message."), Reason::InvalidRequest),
            (Status::unknown("the body broke off"), Reason::InvalidRequest),
        ];
        for (status, reason) in table {
            let response = with_details(answer(status));
            assert_eq!(told(&response), (Some(reason), reason.code()));
        }
    }

    #[test]
    fn our_own_are_passed_on_and_so_are_good_answers() {
        let own = error::draining();
        let response = with_details(answer(own.clone().into()));
        let status = Status::from_header_map(response.headers()).expect("a failure");
        assert_eq!(ErrorDetail::from_status(&status), Some(own));
        assert!(with_details(Response::new(())).headers().is_empty());
    }

    #[test]
    fn of_other_services_only_what_nobody_answers_is_renamed() {
        let unknown = unknown_with_details(answer(Status::unimplemented("")));
        assert_eq!(told(&unknown).0, Some(Reason::Unimplemented));
        let of_health = unknown_with_details(answer(Status::not_found("unknown service")));
        assert_eq!(told(&of_health), (None, Code::NotFound));
    }
}
