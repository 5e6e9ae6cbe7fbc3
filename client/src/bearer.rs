//! The bearer token of a caller, as a header says it.

use outrigger_proto::v1::Reason;
use tonic::codegen::http::HeaderValue;

use crate::error::Error;

/// A longer one finds no room among the headers that a node takes.
const BYTES_MAX: usize = 1_024;

/// Returns the header `authorization`. It is marked as secret, so that nothing prints it.
pub(crate) fn header(token: &str) -> Result<HeaderValue, Error> {
    let fits = (1..=BYTES_MAX).contains(&token.len());
    if !fits || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!(
            "the bearer token is to have 1 to {BYTES_MAX} visible ASCII characters, and no space or line feed: \
             give it as the node's tokens_file has it"
        );
        return Err(Error::invalid(Reason::Unauthenticated, message));
    }
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).expect("it is visible ASCII");
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_token_travels_as_it_is_and_is_not_printed() {
        let header = header("0123456789abcdef").expect("a token");
        assert_eq!(header.as_bytes(), b"Bearer 0123456789abcdef");
        assert!(!format!("{header:?}").contains("0123"));
    }

    #[test]
    fn what_cannot_travel_is_refused_before_anything_is_sent() {
        for token in ["", "a b", "a\n", "\u{e4}", &"x".repeat(1_025)] {
            let error = header(token).expect_err("it is no token");
            assert_eq!((error.kind(), error.may_have_happened()), (ErrorKind::Invalid, false));
            assert!(!error.to_string().contains("a b"), "{error}");
        }
    }
}
