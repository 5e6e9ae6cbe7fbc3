//! The file of bearer tokens: who has which, kept as digests, and looked at again while the node runs.
//!
//! ```text
//! # who      token
//! reports    4f0c…
//! ```
//! A file that is written while it is read is not what somebody meant: what changed is taken when two looks in a row
//! found the same, and never without an end of its last line.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use openssl::memcmp;
use openssl::sha::sha256;
use tokio_util::sync::CancellationToken;

use super::who::is_token_name;

/// A shorter one can be guessed; a longer one does not fit into a header.
const BYTES_MIN: usize = 16;
const BYTES_MAX: usize = 1_024;

/// Each call with a token is compared with all of them.
const TOKENS_MAX: usize = 1_024;
const FILE_BYTES_MAX: u64 = 2 << 20;

const SCHEME: &[u8] = b"bearer ";

type Digest = [u8; 32];

/// The tokens that are good now.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    good: ArcSwap<Vec<Token>>,
    /// Only whoever looks at the file takes it.
    seen: Mutex<Seen>,
}

/// A token, without what is secret of it. A clone is cheap.
#[derive(Clone)]
pub struct Token {
    name: Arc<str>,
    digest: Digest,
    revoked: CancellationToken,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.name).finish()
    }
}

/// What the last looks found, as digests of the whole file; none: it could not be read.
#[derive(Debug)]
struct Seen {
    taken: Digest,
    last: Option<Digest>,
    /// What was told of as unfit, until the file is good again.
    told: bool,
}

/// What a look at the file found.
#[derive(Debug)]
pub enum Look {
    /// What is good now.
    Same,
    /// Something else than at the look before: the next one tells.
    Changing,
    Changed {
        tokens: usize,
        /// Names of tokens that are not good any more.
        revoked: Vec<Arc<str>>,
    },
    /// It cannot be taken: the tokens that were good are. `first`: the look before this one found no fault.
    Unfit { error: TokensError, first: bool },
}

#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error("it cannot be read ({0}): create it, or give another path")]
    Unreadable(#[from] io::Error),
    #[error("it has more than {FILE_BYTES_MAX} bytes: it is to have one NAME TOKEN a line")]
    TooLarge,
    #[error(
        "it has no line: give one NAME TOKEN a line; a comment alone, `# none`, says that there is none"
    )]
    Empty,
    #[error("line {line} does not end, so the file may not be whole: end it with a line feed")]
    Unfinished { line: usize },
    #[error("line {line}: it is to be NAME TOKEN, two words")]
    NotTwoWords { line: usize },
    #[error("line {line}: a name has at most 64 letters, digits and `.`, `_`, `-`")]
    Name { line: usize },
    #[error(
        "line {line}: a token has {BYTES_MIN} to {BYTES_MAX} letters, digits and signs of ASCII: write one with \
         `openssl rand -hex 32`"
    )]
    Token { line: usize },
    #[error("line {line}: `{name}` was named before: names are different")]
    NameTwice { line: usize, name: String },
    #[error("line {line}: the token of `{name}` is another's too: give each its own")]
    TokenTwice { line: usize, name: String },
    #[error("it has more than {TOKENS_MAX} tokens")]
    TooMany,
}

impl Tokens {
    /// Reads the file for the first time.
    pub fn read(path: &Path) -> Result<Tokens, TokensError> {
        let bytes = read(path)?;
        let good = ArcSwap::from_pointee(parse(&bytes)?);
        let digest = sha256(&bytes);
        let seen = Seen { taken: digest, last: Some(digest), told: false };
        Ok(Tokens { path: path.to_owned(), good, seen: Mutex::new(seen) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn len(&self) -> usize {
        self.good.load().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is a token of this name.
    pub fn name(&self, name: &str) -> bool {
        self.good.load().iter().any(|token| token.name() == name)
    }

    /// Returns the token that the header `authorization` says. It takes as long for one as for any other.
    pub(super) fn of(&self, authorization: &[u8]) -> Option<Token> {
        let (scheme, said) = authorization.split_at_checked(SCHEME.len())?;
        let said = sha256(said);
        let good = self.good.load();
        let found = good.iter().fold(None, |found, token| {
            if memcmp::eq(&token.digest, &said) { Some(token) } else { found }
        });
        found.filter(|_| scheme.eq_ignore_ascii_case(SCHEME)).cloned()
    }

    /// Looks at the file again.
    pub fn look(&self) -> Look {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) => {
                seen.last = None;
                return seen.unfit(error);
            }
        };
        let digest = sha256(&bytes);
        let again = seen.last.replace(digest) == Some(digest);
        if digest == seen.taken {
            seen.told = false;
            return Look::Same;
        }
        if !again {
            return Look::Changing;
        }
        match parse(&bytes) {
            Ok(tokens) => {
                (seen.taken, seen.told) = (digest, false);
                self.replace(tokens)
            }
            Err(error) => seen.unfit(error),
        }
    }

    fn replace(&self, mut tokens: Vec<Token>) -> Look {
        let before = self.good.load_full();
        for token in &mut tokens {
            if let Some(same) = before.iter().find(|before| before.is(token)) {
                *token = same.clone();
            }
        }
        let gone = before.iter().filter(|before| !tokens.iter().any(|token| token.is(before)));
        let gone: Vec<_> = gone.cloned().collect();
        let count = tokens.len();
        self.good.store(Arc::new(tokens));
        // A call that begins now does not find it any more.
        gone.iter().for_each(|token| token.revoked.cancel());
        Look::Changed { tokens: count, revoked: gone.into_iter().map(|token| token.name).collect() }
    }
}

impl Token {
    fn new(name: &str, token: &str) -> Token {
        let (digest, revoked) = (sha256(token.as_bytes()), CancellationToken::new());
        Token { name: name.into(), digest, revoked }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cancelled when the token is not good any more.
    pub fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }

    fn is(&self, other: &Token) -> bool {
        self.name == other.name && self.digest == other.digest
    }
}

impl Seen {
    fn unfit(&mut self, error: TokensError) -> Look {
        let first = !std::mem::replace(&mut self.told, true);
        Look::Unfit { error, first }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TokensError> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()).expect("it is small") > FILE_BYTES_MAX {
        true => Err(TokensError::TooLarge),
        false => Ok(bytes),
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Token>, TokensError> {
    let lines = || bytes.split_inclusive(|byte| *byte == b'\n');
    match bytes.last() {
        None => return Err(TokensError::Empty),
        Some(b'\n') => {}
        Some(_) => return Err(TokensError::Unfinished { line: lines().count() }),
    }
    let (mut tokens, mut names, mut digests) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (line, text) in (1..).zip(lines()) {
        let text = str::from_utf8(text).map_err(|_| TokensError::Token { line })?.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let token = self::token(line, text)?;
        if !names.insert(token.name.clone()) {
            return Err(TokensError::NameTwice { line, name: token.name.to_string() });
        }
        if !digests.insert(token.digest) {
            return Err(TokensError::TokenTwice { line, name: token.name.to_string() });
        }
        tokens.push(token);
    }
    if tokens.len() > TOKENS_MAX { Err(TokensError::TooMany) } else { Ok(tokens) }
}

fn token(line: usize, text: &str) -> Result<Token, TokensError> {
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let &[name, token] = &words[..] else { return Err(TokensError::NotTwoWords { line }) };
    if !is_token_name(name) {
        return Err(TokensError::Name { line });
    }
    let fits = (BYTES_MIN..=BYTES_MAX).contains(&token.len());
    match fits && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Token::new(name, token)),
        false => Err(TokensError::Token { line }),
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
