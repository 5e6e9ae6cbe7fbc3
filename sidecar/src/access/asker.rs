//! Who asks in one call, and whether it may.

use std::fmt;
use std::sync::Arc;

use outrigger_proto::Rpc;

use super::caller::{Caller, CertificateName};
use super::keys::Keys;
use super::right::{Needs, Right, needs};
use super::rules::Rules;
use super::tokens::{Token, Tokens};

/// A message has room for so many prefixes, and so much of each.
const PREFIXES_TOLD: usize = 3;
const PREFIX_BYTES_TOLD: usize = 48;

/// The rules of a node, and the tokens that its callers may have.
#[derive(Debug)]
pub struct Access {
    pub rules: Rules,
    /// None: a bearer token is nobody's.
    pub tokens: Option<Tokens>,
}

/// Somebody whom a rule knows.
#[derive(Clone, Debug)]
pub struct Asker {
    access: Arc<Access>,
    caller: Caller,
    token: Option<Token>,
}

/// What a rule's `who` is compared with.
pub(super) struct Identities<'a> {
    pub(super) caller: &'a Caller,
    /// The name of the token.
    pub(super) token: Option<&'a str>,
}

/// Why somebody is not let in at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("no rule of access knows {who}")]
    Stranger { who: String },
    #[error("the bearer token is none of this node's: it may have been taken away")]
    UnknownToken,
}

/// What somebody may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAllowed {
    pub who: String,
    pub store: String,
    /// None: it may do nothing at all with the store.
    pub right: Option<Right>,
    /// What the keys have to begin with that it may; empty: it has not that right.
    pub prefixes: Vec<String>,
}

impl Access {
    /// Returns who calls, when a rule knows it. `authorization`: the header of that name.
    ///
    /// Peers say their secret there, which is none of the tokens.
    pub fn admit(
        self: &Arc<Access>,
        rpc: Rpc,
        caller: &Caller,
        authorization: Option<&[u8]>,
    ) -> Result<Asker, Denied> {
        self.identify(caller, authorization.filter(|_| needs(rpc) != Needs::Right(Right::Peer)))
    }

    /// Whether a rule knows who makes a call that is open to everybody.
    pub fn knows(self: &Arc<Access>, caller: &Caller, authorization: Option<&[u8]>) -> bool {
        self.identify(caller, authorization).is_ok()
    }

    /// `token`: the header that has one.
    fn identify(
        self: &Arc<Access>,
        caller: &Caller,
        token: Option<&[u8]>,
    ) -> Result<Asker, Denied> {
        let token = match token {
            None => None,
            Some(said) => {
                let token = self.tokens.as_ref().and_then(|tokens| tokens.of(said));
                Some(token.ok_or(Denied::UnknownToken)?)
            }
        };
        let asker = Asker { access: self.clone(), caller: caller.clone(), token };
        if self.rules.know(&asker.identities()) {
            Ok(asker)
        } else {
            Err(Denied::Stranger { who: asker.to_string() })
        }
    }
}

impl Asker {
    fn identities(&self) -> Identities<'_> {
        Identities { caller: &self.caller, token: self.token.as_ref().map(Token::name) }
    }

    /// The token with which it came; the call must not outlive it.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// Whether a call may be about `store` and all of `keys`.
    pub fn check(&self, rpc: Rpc, store: &str, keys: Keys<'_>) -> Result<(), NotAllowed> {
        match needs(rpc) {
            Needs::Right(right) => self.check_right(right, store, keys),
            Needs::Any if self.access.rules.allow_any(&self.identities(), store) => Ok(()),
            Needs::Any => Err(self.not_allowed(store, None, vec![])),
        }
    }

    pub fn check_right(&self, right: Right, store: &str, keys: Keys<'_>) -> Result<(), NotAllowed> {
        let (rules, identities) = (&self.access.rules, self.identities());
        if rules.allow(&identities, right, store, keys) {
            return Ok(());
        }
        let prefixes = rules.prefixes(&identities, right, store);
        Err(self.not_allowed(store, Some(right), prefixes))
    }

    fn not_allowed(&self, store: &str, right: Option<Right>, prefixes: Vec<String>) -> NotAllowed {
        NotAllowed { who: self.to_string(), store: store.to_owned(), right, prefixes }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uid = self.caller.uid.map(|uid| format!("uid:{uid}"));
        let names = self.caller.names.iter().map(CertificateName::to_string);
        let token = self.token.as_ref().map(|token| format!("token:{}", token.name()));
        let all: Vec<_> = uid.into_iter().chain(names).chain(token).collect();
        match all.is_empty() {
            true => f.write_str("a caller who has neither a user, a certificate with a URI or a DNS name, nor a token"),
            false => f.write_str(&all.join(" ")),
        }
    }
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotAllowed { who, store, right, prefixes } = self;
        match (right, prefixes.is_empty()) {
            (None, _) => write!(f, "{who} may do nothing with store {store}"),
            (Some(right), true) => write!(f, "{who} has not the right `{right}` on store {store}"),
            (Some(right), false) => {
                let named = prefixes.iter().take(PREFIXES_TOLD).map(|prefix| shortened(prefix));
                let more = (prefixes.len() > PREFIXES_TOLD).then(|| "others".to_owned());
                let named: Vec<_> = named.chain(more).collect();
                write!(
                    f,
                    "{who} has the right `{right}` on store {store} only for keys that begin with {}, and this is \
                     not all within one of them",
                    named.join(" or ")
                )
            }
        }
    }
}

fn shortened(prefix: &str) -> String {
    let end = prefix.floor_char_boundary(PREFIX_BYTES_TOLD);
    let more = if end < prefix.len() { "..." } else { "" };
    format!("{:?}{more}", &prefix[..end])
}

#[cfg(test)]
#[path = "asker_tests.rs"]
mod tests;
