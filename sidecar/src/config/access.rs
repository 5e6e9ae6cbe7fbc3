//! Who may do what: the tables `[[access]]`, and the file of tokens.

use std::path::Path;
use std::sync::Arc;

use super::StoreConfig;
use super::file::{alike, remedy};
use super::peers::others_may_read;
use super::problem::Problem;
use super::settings::{AccessTable, Settings};
use crate::access::{Access, Right, Rule, Rules, Tokens, Who, WhoError};

/// Each call of a caller is compared with all of them.
const RULES_MAX: usize = 256;

/// What is wrong with one rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessFault {
    #[error("`who` names nobody: name at least one, or `anyone`")]
    Nobody,
    #[error("`{who}` names nobody: {error}")]
    Who { who: String, error: WhoError },
    #[error("`may` has no right: give some of {}", rights())]
    NoRight,
    #[error("`{right}` is not a right: {}", remedy(*.alike, &Right::ALL.map(Right::name)))]
    Right { right: String, alike: Option<&'static str> },
    #[error("there is no store `{store}`: give one of {}, or leave it out for all", .known.join(", "))]
    Store { store: String, known: Vec<String> },
    #[error("the right `{right}` is of a whole store: give it in a rule without `prefix`")]
    Prefix { right: Right },
    #[error("{count} rules, at most {RULES_MAX} are allowed: name several callers in one")]
    TooMany { count: usize },
}

fn rights() -> String {
    Right::ALL.map(|right| format!("`{right}`")).join(", ")
}

pub(super) fn resolve(
    tables: &[AccessTable],
    stores: &[StoreConfig],
    settings: &Settings,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Access>> {
    if let Some(beyond) = tables.get(RULES_MAX) {
        let fault = AccessFault::TooMany { count: tables.len() };
        problems.push(Problem::Access { line: beyond.line, fault });
    }
    let rules = tables.iter().map(|table| rule(table, stores, problems)).collect();
    let tokens = settings.tokens_file.as_deref().and_then(|path| tokens(path, problems));
    Rules::new(rules).map(|rules| Arc::new(Access { rules, tokens }))
}

fn rule(table: &AccessTable, stores: &[StoreConfig], problems: &mut Vec<Problem>) -> Rule {
    let mut report = |fault| problems.push(Problem::Access { line: table.line, fault });
    let mut who = Vec::new();
    for text in &table.who {
        match Who::parse(text) {
            Ok(each) => who.push(each),
            Err(error) => report(AccessFault::Who { who: text.clone(), error }),
        }
    }
    let mut may = Vec::new();
    for name in &table.may {
        match Right::of(name) {
            Some(right) => may.push(right),
            None => {
                let alike = alike(name, &Right::ALL.map(Right::name));
                report(AccessFault::Right { right: name.clone(), alike });
            }
        }
    }
    if table.who.is_empty() {
        report(AccessFault::Nobody);
    }
    if table.may.is_empty() {
        report(AccessFault::NoRight);
    }
    let known: Vec<_> = stores.iter().map(|store| store.name.as_str().to_owned()).collect();
    if let Some(store) = table.store.clone().filter(|store| !known.contains(store)) {
        report(AccessFault::Store { store, known });
    }
    let whole = may.iter().find(|right| !right.is_of_keys());
    if let Some(right) = whole.filter(|_| table.prefix.is_some()) {
        report(AccessFault::Prefix { right: *right });
    }
    let prefix = table.prefix.clone().unwrap_or_default();
    Rule { who, store: table.store.clone(), prefix, may }
}

fn tokens(path: &Path, problems: &mut Vec<Problem>) -> Option<Tokens> {
    let report = |error| problems.push(Problem::Tokens { path: path.to_owned(), error });
    Tokens::read(path).map_err(report).ok()
}

/// Returns what is allowed and probably not wanted.
pub(super) fn warnings(access: Option<&Access>, tokens_file: Option<&Path>) -> Vec<String> {
    let readable = tokens_file.filter(|path| others_may_read(Some(path))).map(|_| {
        "tokens_file: every user of this machine can read it: take the right from them (chmod 600)".to_owned()
    });
    let Some(Access { rules, tokens }) = access else {
        let unused = tokens_file.map(|_| {
            "tokens_file: there is no [[access]] table, so that nobody is asked for a token: everybody may do \
             everything"
                .to_owned()
        });
        return readable.into_iter().chain(unused).collect();
    };
    let named = rules.all().iter().flat_map(|rule| &rule.who);
    let missing = named.filter_map(|who| match who {
        Who::Token(name) if !tokens.as_ref().is_some_and(|tokens| tokens.name(name)) => Some(name),
        Who::Uid(_)
        | Who::Uri(_)
        | Who::UrisFrom(_)
        | Who::Dns(_)
        | Who::Token(_)
        | Who::Anyone => None,
    });
    let missing = missing.map(|name| match tokens_file {
        Some(path) => format!(
            "access: {} has no token `{name}`: nobody calls by that name before it has",
            path.display()
        ),
        None => format!("access: there is no tokens_file, so that nobody has the token `{name}`"),
    });
    let nodes = rules.all().iter().filter(|rule| rule.may.contains(&Right::Peer));
    let by_token = nodes.flat_map(|rule| &rule.who).filter_map(|who| match who {
        Who::Token(name) => Some(format!(
            "access: the right `peer` of `token:{name}` is of no use: nodes send the peers' secret, and no token. Name \
             their certificates, their user, or `anyone`"
        )),
        Who::Uid(_) | Who::Uri(_) | Who::UrisFrom(_) | Who::Dns(_) | Who::Anyone => None,
    });
    readable.into_iter().chain(missing).chain(by_token).collect()
}

/// Returns what keeps other nodes out of a node that they are to ask, or nothing. `has_peers`: the settings speak of some.
pub(super) fn peers_left_out(access: Option<&Access>, has_peers: bool) -> Option<String> {
    let rules = access.filter(|_| has_peers)?.rules.all();
    let given = rules.iter().any(|rule| rule.may.contains(&Right::Peer));
    (!given).then(|| {
        "access: no rule gives `peer`: no other node is given a copy, an answer or a digest by this one. Name the nodes' \
         certificates, or `anyone` where the peers' secret is enough"
            .to_owned()
    })
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
