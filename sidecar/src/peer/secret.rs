//! What the nodes of a store know and nobody else: whoever has it may read whole copies.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::io::{self, Read};
use std::path::Path;

/// A shorter one can be guessed.
const BYTES_MIN: usize = 16;
/// A longer one is refused: it travels in a header.
const BYTES_MAX: usize = 1_024;

/// Bytes of the file, with white space around the secret.
const FILE_BYTES_MAX: u64 = 4_096;

const SCHEME: &str = "Bearer ";

/// A secret of visible ASCII characters. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("it cannot be read ({0}): create it, or give another path")]
    Unreadable(#[from] io::Error),
    #[error(
        "it must hold {BYTES_MIN} to {BYTES_MAX} letters, digits and signs of ASCII, and nothing else: \
         write some with `openssl rand -hex 32`"
    )]
    Unfit,
}

impl Secret {
    /// Reads the secret: the file's text, without white space around it.
    pub fn read(path: &Path) -> Result<Secret, SecretError> {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() > usize::try_from(FILE_BYTES_MAX).expect("it is small") {
            return Err(SecretError::Unfit);
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::Unfit)?;
        Secret::new(text.trim())
    }

    pub fn new(text: &str) -> Result<Secret, SecretError> {
        let fits = (BYTES_MIN..=BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Secret(text.to_owned())) } else { Err(SecretError::Unfit) }
    }

    /// The value of the header `authorization`.
    pub fn authorization(&self) -> String {
        format!("{SCHEME}{}", self.0)
    }

    /// Whether that header's value has this secret. It takes as long for a nearly right one as for any other of its
    /// length.
    pub fn allows(&self, authorization: &[u8]) -> bool {
        let Some(said) = authorization.strip_prefix(SCHEME.as_bytes()) else { return false };
        if said.len() != self.0.len() {
            return false;
        }
        let differences = said.iter().zip(self.0.bytes());
        differences.fold(0, |seen, (one, other)| black_box(seen | (one ^ other))) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0123456789abcdef";

    #[test]
    fn only_the_same_secret_is_allowed() {
        let secret = Secret::new(TEXT).unwrap();
        assert!(secret.allows(secret.authorization().as_bytes()));
        for other in ["", "Bearer ", TEXT, "Bearer 0123456789abcdee", "Bearer 0123456789abcdef0"] {
            assert!(!secret.allows(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn it_is_read_without_its_line_feed_and_never_printed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{TEXT}\n")).unwrap();
        let secret = Secret::read(file.path()).unwrap();
        assert_eq!(secret, Secret::new(TEXT).unwrap());
        assert!(!format!("{secret:?}").contains("0123"));
    }

    #[test]
    fn what_can_be_guessed_or_cannot_travel_is_refused() {
        for text in ["", "short", "0123456789abcde", "0123456789abcde\u{e4}", "0123456789 abcdef"] {
            assert!(matches!(Secret::new(text), Err(SecretError::Unfit)), "{text}");
        }
        for endless in ["/dev/zero", "/dev/urandom"] {
            let read = Secret::read(Path::new(endless));
            assert!(matches!(read, Err(SecretError::Unfit)), "{endless}");
        }
        let missing = Secret::read(Path::new("/nonexistent/secret"));
        assert!(matches!(missing, Err(SecretError::Unreadable(_))));
    }
}
