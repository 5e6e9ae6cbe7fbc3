//! The trace that calls belong to, as a header says it.

use outrigger_proto::v1::Reason;
use tonic::codegen::http::HeaderValue;

use crate::error::Error;

pub(crate) const TRACEPARENT: &str = "traceparent";

/// Hexadecimal digits of version, trace, parent and flags: W3C's Trace Context has no other version yet.
const DIGITS: [usize; 4] = [2, 32, 16, 2];

pub(crate) fn header(traceparent: &str) -> Result<HeaderValue, Error> {
    let fields: Vec<&str> = traceparent.split('-').collect();
    let fits = fields.iter().map(|field| field.len()).eq(DIGITS);
    let is_hexadecimal = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_none = |field: &str| field.bytes().all(|digit| digit == b'0');
    let is_one = fits
        && fields.iter().all(|field| field.bytes().all(is_hexadecimal))
        && fields[0] == "00"
        && !is_none(fields[1])
        && !is_none(fields[2]);
    if !is_one {
        let message = format!(
            "{traceparent:?} is no traceparent of W3C's Trace Context: it is to be 00, the trace, the span and the flags, \
             such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        );
        return Err(Error::invalid(Reason::InvalidRequest, message));
    }
    Ok(HeaderValue::try_from(traceparent).expect("it is visible ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const ONE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_travels_as_it_is() {
        assert_eq!(header(ONE).expect("it is one"), ONE);
    }

    #[test]
    fn what_a_node_would_take_for_none_is_refused_before_anything_is_sent() {
        let no_trace = format!("00-{:032x}-00f067aa0ba902b7-01", 0);
        let no_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{:016x}-01", 0);
        for wrong in [
            "",
            "00",
            &ONE.to_uppercase(),
            &ONE.replace("00-4", "ff-4"),
            &ONE[1..],
            &format!("{ONE}-00"),
            &ONE.replace("-01", "-\n1"),
            &no_trace,
            &no_span,
        ] {
            let error = header(wrong).expect_err("it is none");
            assert_eq!((error.kind(), error.may_have_happened()), (ErrorKind::Invalid, false));
        }
    }
}
