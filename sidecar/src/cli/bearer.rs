//! The bearer token that a client command calls with.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

/// Bytes of the file that are looked at: more than any token has.
const FILE_BYTES_MAX: u64 = 4_096;

/// A token, which is never printed.
#[derive(Clone)]
pub(super) struct Bearer(String);

#[derive(Debug, thiserror::Error)]
pub(super) enum BearerError {
    #[error("it cannot be read ({0})")]
    Unreadable(#[from] io::Error),
    #[error("it is to hold the token alone, without its name")]
    NotOneWord,
}

impl Bearer {
    /// Reads the file's text, without white space around it.
    pub(super) fn read(path: &str) -> Result<Bearer, BearerError> {
        let mut text = String::new();
        File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        let token = text.trim();
        if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Bearer(token.to_owned()))
        } else {
            Err(BearerError::NotOneWord)
        }
    }

    pub(super) fn token(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_token_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let read = |text: &str| {
            std::fs::write(path, text).unwrap();
            Bearer::read(path)
        };
        let bearer = read("0123456789abcdef\n").unwrap();
        assert_eq!(bearer.token(), "0123456789abcdef");
        assert!(!format!("{bearer:?}").contains("0123"));
        for text in ["", "\n", "reports 0123456789abcdef\n", "a\nb\n", "\u{e4}"] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains("the token alone"), "{error}");
        }
        let missing = Bearer::read("/nonexistent/token").expect_err("there is none");
        assert!(missing.to_string().contains("cannot be read"));
    }
}
