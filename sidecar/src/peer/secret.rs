//! What the nodes of a store know and nobody else: whoever has it may read whole copies.
//!
//! While it is changed there are several: a node sends the first and lets in whoever has any, so that nodes with the old
//! one and nodes with the new one give to each other.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::io::{self, Read};
use std::path::Path;

/// A shorter one can be guessed.
const BYTES_MIN: usize = 16;
/// A longer one is refused: it travels in a header.
const BYTES_MAX: usize = 1_024;

/// Bytes of the file, with white space around the secrets.
const FILE_BYTES_MAX: u64 = 4_096;

const SECRETS_MAX: usize = 3;

const SCHEME: &str = "Bearer ";

/// A secret of visible ASCII characters, and others that are good besides. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    sent: String,
    others: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("it cannot be read ({0}): create it, or give another path")]
    Unreadable(#[from] io::Error),
    #[error(
        "each of its lines, {SECRETS_MAX} at most, must hold {BYTES_MIN} to {BYTES_MAX} letters, digits and signs of ASCII, \
         and nothing else: write one with `openssl rand -hex 32`"
    )]
    Unfit,
}

impl Secret {
    /// Reads the secret, which is the file's first line, and those that are good besides: its other lines, without white
    /// space around them.
    pub fn read(path: &Path) -> Result<Secret, SecretError> {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() > usize::try_from(FILE_BYTES_MAX).expect("it is small") {
            return Err(SecretError::Unfit);
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::Unfit)?;
        Secret::new(text.trim())
    }

    /// Takes the secret from the first line, and those that are good besides from the others.
    pub fn new(lines: &str) -> Result<Secret, SecretError> {
        let mut all = lines.split('\n').map(|line| line.trim_end_matches('\r').to_owned());
        let sent = all.next().expect("a text has a first line");
        let others: Vec<_> = all.collect();
        let fits = |secret: &String| {
            (BYTES_MIN..=BYTES_MAX).contains(&secret.len())
                && secret.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let fit = others.len() < SECRETS_MAX && fits(&sent) && others.iter().all(fits);
        if fit { Ok(Secret { sent, others }) } else { Err(SecretError::Unfit) }
    }

    /// The value of the header `authorization`.
    pub fn authorization(&self) -> String {
        format!("{SCHEME}{}", self.sent)
    }

    /// Whether that header's value has one of these secrets. It takes as long for a nearly right one as for any other of
    /// its length.
    pub fn allows(&self, authorization: &[u8]) -> bool {
        let Some(said) = authorization.strip_prefix(SCHEME.as_bytes()) else { return false };
        let all = std::iter::once(&self.sent).chain(&self.others);
        all.fold(false, |allowed, secret| black_box(allowed | is_same(said, secret)))
    }
}

fn is_same(said: &[u8], secret: &str) -> bool {
    if said.len() != secret.len() {
        return false;
    }
    let differences = said.iter().zip(secret.bytes());
    differences.fold(0, |seen, (one, other)| black_box(seen | (one ^ other))) == 0
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
    fn while_it_is_changed_nodes_with_either_let_each_other_in() {
        const NEW: &str = "fedcba9876543210-new";
        let secrets = [TEXT, &format!("{TEXT}\n{NEW}"), &format!("{NEW}\r\n{TEXT}"), NEW];
        let secrets = secrets.map(|lines| Secret::new(lines).unwrap());
        for (one, next) in secrets.iter().zip(&secrets[1..]) {
            assert!(one.allows(next.authorization().as_bytes()));
            assert!(next.allows(one.authorization().as_bytes()));
        }
        assert!(!secrets[3].allows(secrets[0].authorization().as_bytes()));
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
        let (long, many) = (format!("{TEXT}\nshort"), [TEXT; SECRETS_MAX + 1].join("\n"));
        let texts = ["", "short", "0123456789abcde", "0123456789abcde\u{e4}", "0123456789 abcdef"];
        for text in texts.into_iter().chain([long.as_str(), &many]) {
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
