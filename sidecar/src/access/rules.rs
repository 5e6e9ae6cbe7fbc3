//! The rules: who may do what, to which store, with which keys.

use std::fmt;

use super::asker::Identities;
use super::keys::Keys;
use super::right::Right;
use super::who::Who;

/// One `[[access]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// At least one.
    pub who: Vec<Who>,
    /// None: every store.
    pub store: Option<String>,
    /// What all its keys begin with; empty: every key.
    pub prefix: String,
    /// At least one; with a prefix only rights of keys.
    pub may: Vec<Right>,
}

/// All rules; at least one. Each adds to what the others allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rule {
    fn is_of(&self, store: &str) -> bool {
        self.store.as_deref().is_none_or(|of| of == store)
    }

    fn names(&self, identities: &Identities<'_>) -> bool {
        self.who.iter().any(|who| who.is(identities))
    }
}

impl Rules {
    /// None where there are none.
    pub fn new(rules: Vec<Rule>) -> Option<Rules> {
        (!rules.is_empty()).then_some(Rules(rules))
    }

    pub fn all(&self) -> &[Rule] {
        &self.0
    }

    pub(super) fn know(&self, identities: &Identities<'_>) -> bool {
        self.0.iter().any(|rule| rule.names(identities))
    }

    /// Whether one rule allows it for all the keys: what several allow together is no range of one.
    pub(super) fn allow(
        &self,
        identities: &Identities<'_>,
        right: Right,
        store: &str,
        keys: Keys<'_>,
    ) -> bool {
        // What is cheap is asked first.
        self.0.iter().any(|rule| {
            rule.may.contains(&right)
                && rule.is_of(store)
                && keys.begin_with(rule.prefix.as_bytes())
                && rule.names(identities)
        })
    }

    /// Whether it may do something with the store as a caller. A node that takes copies sees nothing else of it.
    pub(super) fn allow_any(&self, identities: &Identities<'_>, store: &str) -> bool {
        let of_callers = |rule: &Rule| rule.may.iter().any(|right| *right != Right::Peer);
        self.0.iter().any(|rule| rule.is_of(store) && of_callers(rule) && rule.names(identities))
    }

    /// Returns the prefixes for which it is allowed.
    pub(super) fn prefixes(
        &self,
        identities: &Identities<'_>,
        right: Right,
        store: &str,
    ) -> Vec<String> {
        let rules = self.0.iter();
        let rules = rules.filter(|rule| rule.may.contains(&right) && rule.is_of(store));
        let mut prefixes: Vec<_> =
            rules.filter(|rule| rule.names(identities)).map(|rule| rule.prefix.clone()).collect();
        prefixes.sort();
        prefixes.dedup();
        prefixes
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who: Vec<_> = self.who.iter().map(Who::to_string).collect();
        let may: Vec<_> = self.may.iter().map(|right| right.name()).collect();
        write!(f, "{} may {}: ", who.join(", "), may.join(", "))?;
        match &self.store {
            Some(store) => write!(f, "store {store}")?,
            None => f.write_str("every store")?,
        }
        match self.prefix.as_str() {
            "" => Ok(()),
            prefix => write!(f, ", keys that begin with {prefix:?}"),
        }
    }
}
