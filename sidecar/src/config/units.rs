//! Durations and sizes as an operator writes them: a whole number and its unit, nothing else.

use std::num::NonZeroU64;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a duration: give a whole number above 0 with its unit, such as 500ms, 10s or 2m"
)]
pub struct DurationError {
    text: String,
}

pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError { text: text.to_owned() };
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60).ok_or_else(wrong)?),
        "h" => Duration::from_secs(number.checked_mul(3_600).ok_or_else(wrong)?),
        _ => return Err(wrong()),
    };
    if duration.is_zero() { Err(wrong()) } else { Ok(duration) }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    #[error(
        "`{text}` is not a rate: give the bytes of a second as a whole number with its unit, such as 512KiB or \
         10MiB, or `off`"
    )]
    NoRate { text: String },
    #[error("a rate of nothing would never end: to stop a restore use `outrigger cancel`")]
    Zero,
}

/// Reads the bytes per second of a rate such as 10MiB; none for `off`.
pub fn parse_rate(text: &str) -> Result<Option<NonZeroU64>, RateError> {
    if text == "off" {
        return Ok(None);
    }
    let bytes = parse_size(text).and_then(|bytes| u64::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| RateError::NoRate { text: text.to_owned() })?;
    NonZeroU64::new(bytes).map(Some).ok_or(RateError::Zero)
}

/// Reads the bytes of a size such as 256MiB or 1GiB. None: it is not one, or does not fit.
pub(super) fn parse_size(text: &str) -> Option<usize> {
    let (number, unit) = number_and_unit(text)?;
    let bytes = match unit {
        "KiB" => number.checked_mul(1 << 10)?,
        "MiB" => number.checked_mul(1 << 20)?,
        "GiB" => number.checked_mul(1 << 30)?,
        _ => return None,
    };
    usize::try_from(bytes).ok()
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_exactly_what_it_says_or_is_refused_with_what_would_be_one(
            number: u64, digits in "[0-9]{1,21}", unit in "(ms|s|m|h|KiB|MiB|GiB|[a-zA-Z ]{0,3})", any: String,
        ) {
            for text in [format!("{number}{unit}"), format!("{digits}{unit}"), any] {
                match parse_duration(&text) {
                    Ok(duration) => prop_assert!(!duration.is_zero()),
                    Err(error) => prop_assert!(error.to_string().contains("such as")),
                }
                if let Err(error) = parse_rate(&text) {
                    prop_assert!(error.to_string().contains("rate"));
                }
            }
            let kib = parse_size(&format!("{number}KiB")).map(|bytes| u128::try_from(bytes).unwrap());
            let exact = u128::from(number) << 10;
            prop_assert_eq!(kib, (exact <= u128::from(u64::MAX)).then_some(exact));
        }
    }

    #[test]
    fn a_number_with_its_unit_is_a_duration() {
        for (text, millis) in [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_rate_is_a_size_or_off_and_never_nothing() {
        assert_eq!(parse_rate("10MiB"), Ok(NonZeroU64::new(10 << 20)));
        assert_eq!(parse_rate("off"), Ok(None));
        assert_eq!(parse_rate("0KiB"), Err(RateError::Zero));
        for text in ["", "0", "10", "10MB", "10MiB/s", "Off", "none"] {
            assert_eq!(parse_rate(text), Err(RateError::NoRate { text: text.to_owned() }));
        }
    }

    #[test]
    fn a_size_has_a_binary_unit() {
        assert_eq!(parse_size("64KiB"), Some(64 << 10));
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(parse_size("2GiB"), Some(2 << 30));
        for text in ["", "64", "64MB", "64 MiB", "-1MiB", "1.5GiB", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn anything_that_could_be_meant_in_two_ways_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "1.5s",
            "-1s",
            "+1s",
            " 1s",
            "1 s",
            "1S",
            "1sec",
            "0s",
            "99999999999999999999s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
