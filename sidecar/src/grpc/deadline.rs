//! How long a call may take, as its caller told it; and how long a read may wait for its copy, a write for the log.

use std::time::Duration;

use hyper::HeaderMap;
use tonic::metadata::MetadataMap;

const HEADER: &str = "grpc-timeout";

/// How long a call waits whose caller gives no bound at all.
const WAIT_DEFAULT: Duration = Duration::from_secs(5);

/// The node's own bound: a read that waits holds memory here and in the core.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What an answer needs to reach its caller.
const ON_ITS_WAY_MAX: Duration = Duration::from_secs(1);

/// Digits that `grpc-timeout` may have.
const DIGITS_MAX: usize = 8;

/// The deadline of a call as its caller told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallDeadline(Option<Duration>);

impl CallDeadline {
    pub(super) const NONE: CallDeadline = CallDeadline(None);

    /// A `grpc-timeout` that cannot be read is no deadline, as everywhere in gRPC.
    pub(super) fn of(metadata: &MetadataMap) -> CallDeadline {
        let text = metadata.get(HEADER).and_then(|value| value.to_str().ok());
        CallDeadline(text.and_then(parse))
    }

    pub(super) fn in_headers(headers: &HeaderMap) -> CallDeadline {
        let text = headers.get(HEADER).and_then(|value| value.to_str().ok());
        CallDeadline(text.and_then(parse))
    }

    /// Returns within what time a call is answered at the latest, whatever it waits for: before its caller gives it up,
    /// and after the answer of a read or write that waited, which knows what it waited for.
    pub(super) fn answer_within(self) -> Option<Duration> {
        self.0.map(|timeout| timeout - (timeout / 20).min(ON_ITS_WAY_MAX))
    }

    /// Returns how long to wait: the least of what the request allows, what is left of the call's own deadline, and our
    /// bound.
    pub(super) fn wait(self, wait_ms_max: Option<u64>) -> Duration {
        self.bound(wait_ms_max).unwrap_or(WAIT_DEFAULT).min(WAIT_MAX)
    }

    /// Returns how long caller and call allow to wait; none: the node decides.
    pub(super) fn bound(self, wait_ms_max: Option<u64>) -> Option<Duration> {
        let asked = wait_ms_max.map(Duration::from_millis);
        // It is less than the call's deadline: the answer, which names the reason, must come before that.
        let left = self.0.map(|timeout| timeout - timeout / 10);
        asked.into_iter().chain(left).min()
    }
}

/// Reads `TimeoutValue TimeoutUnit` of the gRPC protocol over HTTP/2.
fn parse(text: &str) -> Option<Duration> {
    let (unit_at, unit) = text.char_indices().last()?;
    let digits = &text[..unit_at];
    if digits.is_empty()
        || digits.len() > DIGITS_MAX
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let value: u64 = digits.parse().expect("eight digits fit 64 bits");
    match unit {
        'H' => Some(Duration::from_secs(value * 3600)),
        'M' => Some(Duration::from_secs(value * 60)),
        'S' => Some(Duration::from_secs(value)),
        'm' => Some(Duration::from_millis(value)),
        'u' => Some(Duration::from_micros(value)),
        'n' => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_caller_says_it_is_answered_before_its_deadline(
            text in "[0-9]{1,9}[HMSmun]|[ -~]{0,12}|\\PC{0,6}", wait: Option<u64>,
        ) {
            let deadline = CallDeadline(parse(&text));
            prop_assert!(deadline.wait(wait) <= WAIT_MAX);
            if let CallDeadline(Some(timeout)) = deadline {
                let within = deadline.answer_within().expect("there is a deadline");
                prop_assert!(within <= timeout && deadline.wait(wait) <= within);
            }
        }
    }

    fn told(timeout: &str) -> CallDeadline {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", timeout.parse().expect("a header's value"));
        CallDeadline::of(&metadata)
    }

    #[test]
    fn the_shortest_bound_holds() {
        let none = CallDeadline::of(&MetadataMap::new());
        assert_eq!(none.wait(None), WAIT_DEFAULT);
        assert_eq!(none.wait(Some(30_000)), Duration::from_secs(30));
        assert_eq!(none.wait(Some(0)), Duration::ZERO);
        assert_eq!(none.wait(Some(u64::MAX)), WAIT_MAX);
        assert_eq!(told("1S").wait(Some(30_000)), Duration::from_millis(900));
        assert_eq!(told("10S").wait(Some(100)), Duration::from_millis(100));
        assert_eq!(told("99999999H").wait(None), WAIT_MAX);
    }

    #[test]
    fn an_answer_comes_after_the_reads_own_and_before_the_deadline() {
        let deadline = told("1S");
        let within = deadline.answer_within().expect("there is a deadline");
        assert!(deadline.wait(None) < within && within < Duration::from_secs(1));
        assert_eq!(CallDeadline::NONE.answer_within(), None);
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, "1S".parse().expect("a header's value"));
        assert_eq!(CallDeadline::in_headers(&headers), deadline);
    }

    #[test]
    fn every_unit_is_read_and_nonsense_is_no_deadline() {
        let second = CallDeadline(Some(Duration::from_secs(1)));
        for timeout in ["1S", "1000m", "1000000u", "00000001S"] {
            assert_eq!(told(timeout), second, "{timeout}");
        }
        assert_eq!(told("1H"), told("60M"));
        assert_eq!(told("5n"), CallDeadline(Some(Duration::from_nanos(5))));
        for nonsense in ["", "S", "5", "5s", "-5S", "5.5S", "123456789S", "+5S"] {
            assert_eq!(told(nonsense), CallDeadline(None), "{nonsense:?}");
        }
    }
}
