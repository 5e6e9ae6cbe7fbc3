//! Any bytes as one line of text and back: printable UTF-8 stays, all else is `\xNN`.
//!
//! `scan` writes this form and `import` reads it, so one can be piped into the other; what the log lost is
//! written in it too.

use std::fmt::Write as _;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EscapeError {
    #[error("`\\` at the end: write `\\\\` for the character itself")]
    Unfinished,
    #[error("`\\{0}` is not known: use \\\\, \\t, \\n, \\r or \\x and two hexadecimal digits")]
    Unknown(char),
    #[error("`\\x` needs two hexadecimal digits")]
    Hex,
}

pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape_character(character, &mut text);
        }
        for byte in chunk.invalid() {
            escape_byte(*byte, &mut text);
        }
    }
    text
}

pub(crate) fn unescape(text: &[u8]) -> Result<Vec<u8>, EscapeError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().ok_or(EscapeError::Unfinished)? {
            b'\\' => b'\\',
            b't' => b'\t',
            b'n' => b'\n',
            b'r' => b'\r',
            b'x' => digit(rest.next())? * 16 + digit(rest.next())?,
            other => return Err(EscapeError::Unknown(char::from(other))),
        });
    }
    Ok(bytes)
}

fn escape_character(character: char, text: &mut String) {
    match character {
        '\\' => text.push_str("\\\\"),
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        // Unicode's own controls and line separators could move a terminal's cursor as well; a byte order mark cannot be
        // seen, and at the beginning of a file it is none of its text.
        control
            if control.is_control()
                || matches!(
                    control,
                    '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{feff}'
                ) =>
        {
            let mut encoded = [0; 4];
            for byte in control.encode_utf8(&mut encoded).bytes() {
                escape_byte(byte, text);
            }
        }
        printable => text.push(printable),
    }
}

fn escape_byte(byte: u8, text: &mut String) {
    write!(text, "\\x{byte:02x}").expect("a String takes every text");
}

fn digit(byte: Option<u8>) -> Result<u8, EscapeError> {
    let digit = byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(EscapeError::Hex)?;
    Ok(u8::try_from(digit).expect("a hexadecimal digit is below 16"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printable_stays_and_the_rest_can_be_seen() {
        let cases: [(&[u8], &str); 7] = [
            (b"", ""),
            (b"user/17", "user/17"),
            ("käse".as_bytes(), "käse"),
            (b"a\tb\nc\\d", "a\\tb\\nc\\\\d"),
            (&[0, 0x7f, 0xff], "\\x00\\x7f\\xff"),
            ("\u{202e}".as_bytes(), "\\xe2\\x80\\xae"),
            ("\u{feff}".as_bytes(), "\\xef\\xbb\\xbf"),
        ];
        for (bytes, text) in cases {
            assert_eq!(escape(bytes), text);
        }
    }

    #[test]
    fn every_pair_of_bytes_comes_back_from_one_line_without_tabs() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let bytes = [first, second];
                let text = escape(&bytes);
                assert!(!text.contains(['\t', '\n', '\r']), "{text:?}");
                assert_eq!(unescape(text.as_bytes()), Ok(bytes.to_vec()), "{text:?}");
            }
        }
    }

    #[test]
    fn a_broken_escape_is_refused() {
        assert_eq!(unescape(b"a\\"), Err(EscapeError::Unfinished));
        assert_eq!(unescape(b"\\q"), Err(EscapeError::Unknown('q')));
        assert_eq!(unescape(b"\\x1"), Err(EscapeError::Hex));
        assert_eq!(unescape(b"\\x1g"), Err(EscapeError::Hex));
    }
}
