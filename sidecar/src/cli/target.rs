//! Which store of which node a client command talks to, and for how long; or of which nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use outrigger_client::proto::v1;
use outrigger_client::{Client, InvalidToken, Level, Revision, Store, Token};

use super::connect::Connect;
use super::failure::Failure;
use super::form::unhex;
use crate::config::parse_duration;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Target {
    /// The node: http://HOST:PORT, https://HOST:PORT or unix:///PATH
    #[arg(
        long,
        env = "OUTRIGGER_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:7400"
    )]
    server: String,

    #[command(flatten)]
    connect: Connect,

    /// The store; may be left out when the node has only one
    #[arg(
        long,
        env = "OUTRIGGER_STORE",
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    store: String,

    /// How long one call may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
}

impl Target {
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        self.connect.check(&self.server)?;
        self.connect.client(&self.server).await.map_err(Failure::Read)
    }

    /// Returns a handle on the store. Where nobody answers at the address, that is told now: nothing was sent yet.
    pub(super) async fn store(&self) -> Result<Store, Failure> {
        let store = self.client().await?.store(&self.store);
        Ok(store.with_read_deadline(self.timeout).with_write_deadline(self.timeout))
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Returns the store's name. `None`: all stores, or the only one.
    pub(super) fn name(&self) -> Option<&str> {
        Some(self.store.as_str()).filter(|name| !name.is_empty())
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Targets {
    /// The node: http://HOST:PORT, https://HOST:PORT or unix:///PATH; may be repeated, for several
    #[arg(
        long = "server",
        env = "OUTRIGGER_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:7400"
    )]
    pub(super) servers: Vec<String>,
    #[command(flatten)]
    pub(super) connect: Connect,
    /// The store [default: all of a node]
    #[arg(long, env = "OUTRIGGER_STORE", value_name = "NAME")]
    pub(super) store: Option<String>,
}

impl Targets {
    /// Refuses an address that cannot be connected to with what was given.
    pub(super) fn checked(self) -> Result<Targets, Failure> {
        for server in &self.servers {
            self.connect.check(server)?;
        }
        Ok(self)
    }
}

/// How fresh a read must be.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Freshness {
    /// How fresh the answer must be [default: local]
    #[arg(long, value_enum)]
    level: Option<LevelName>,

    /// Wait until the copy has this: a revision as `put` and `delete` print it, several separated by commas, or a token
    /// (the bytes of a client's Token in hexadecimal digits)
    #[arg(long, value_name = "PARTITION:OFFSET|TOKEN", value_parser = AtLeast::parse)]
    at_least: Option<AtLeast>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LevelName {
    /// Whatever copy the node has, also while it restores
    Stale,
    /// The node's copy, which must be READY
    Local,
    /// Everything that the leader of the log had committed when asked
    Latest,
    /// What the interface calls so: here it needs its position, which --at-least gives.
    #[value(hide = true)]
    AtLeast,
}

/// What a read must include.
#[derive(Clone, Debug, PartialEq)]
enum AtLeast {
    Revisions(Vec<Revision>),
    Token(Token),
}

#[derive(Debug, thiserror::Error)]
#[error(
    "it is neither a revision such as 0:4207, several of them separated by commas, nor a token in hexadecimal digits{}",
    .0.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
)]
struct AtLeastError(Option<InvalidToken>);

impl Freshness {
    /// Returns the store, to be read as is asked for. What is wrong with that is told before anything is sent; then the
    /// node is asked which topic a revision is of.
    pub(super) async fn store(self, target: &Target) -> Result<Store, Failure> {
        let level = self.level()?;
        let store = target.store().await?;
        if let Some(at_least) = self.at_least {
            let token = at_least.token(&store).await?;
            store.resume(token).map_err(Failure::Read)?;
        }
        Ok(store.with_level(level))
    }

    fn level(&self) -> Result<Level, Failure> {
        let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
        match (self.level, &self.at_least) {
            (Some(LevelName::AtLeast), None) => usage(
                "--level at-least needs a position: say --at-least PARTITION:OFFSET instead, as `put` and `delete` \
                 print it",
            ),
            (Some(LevelName::Stale | LevelName::Local), Some(_)) => usage(
                "--at-least waits for a position, and the levels stale and local do not wait: leave --level out, or \
                 say --level latest",
            ),
            (Some(LevelName::Stale), None) => Ok(Level::Stale),
            (Some(LevelName::Latest), _) => Ok(Level::Latest),
            (Some(LevelName::Local) | None, None) => Ok(Level::Local),
            (Some(LevelName::AtLeast) | None, Some(_)) => Ok(Level::Session),
        }
    }
}

impl AtLeast {
    fn parse(text: &str) -> Result<AtLeast, AtLeastError> {
        if text.contains(':') {
            let revisions: Option<_> = text.split(',').map(revision).collect();
            return revisions.map(AtLeast::Revisions).ok_or(AtLeastError(None));
        }
        let bytes = unhex(text).ok_or(AtLeastError(None))?;
        Token::from_bytes(&bytes).map(AtLeast::Token).map_err(|error| AtLeastError(Some(error)))
    }

    async fn token(self, store: &Store) -> Result<Token, Failure> {
        let revisions = match self {
            AtLeast::Token(token) => return Ok(token),
            AtLeast::Revisions(revisions) => revisions,
        };
        let status = store.status().await.map_err(Failure::Read)?;
        if status.topic_id.is_empty() {
            return Err(Failure::NotYet(format!(
                "store {} does not know its topic yet: wait for it with `outrigger wait`",
                status.store
            )));
        }
        let token = v1::Token { topic_id: status.topic_id, positions: positions(&revisions) };
        Token::try_from(token).map_err(|error| Failure::BadInput(error.to_string()))
    }
}

/// Returns the furthest position of each partition; a position is behind its record.
fn positions(revisions: &[Revision]) -> Vec<v1::PartitionPosition> {
    let mut furthest = BTreeMap::new();
    for Revision { partition, offset } in revisions {
        let position = furthest.entry(*partition).or_default();
        *position = offset.saturating_add(1).max(*position);
    }
    let position =
        |(partition, position)| v1::PartitionPosition { partition, position, leader_epoch: None };
    furthest.into_iter().map(position).collect()
}

fn revision(text: &str) -> Option<Revision> {
    let (partition, offset) = text.trim().split_once(':')?;
    Some(Revision { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_a_position_or_refused_with_what_would_be_one(
            text in "([0-9]{0,21}:[0-9]{0,21},?){0,3}|[0-9a-f]{0,80}|.*",
        ) {
            match AtLeast::parse(&text) {
                Ok(AtLeast::Revisions(revisions)) => {
                    let furthest = positions(&revisions);
                    prop_assert!(!furthest.is_empty() && furthest.len() <= revisions.len());
                }
                Ok(AtLeast::Token(token)) => prop_assert_eq!(Token::from_bytes(&token.to_bytes()), Ok(token)),
                Err(error) => prop_assert!(error.to_string().contains("0:4207")),
            }
        }
    }

    fn freshness(level: Option<LevelName>, at_least: Option<&str>) -> Freshness {
        Freshness { level, at_least: at_least.map(|text| AtLeast::parse(text).unwrap()) }
    }

    #[test]
    fn a_revision_is_included_by_the_position_behind_it() {
        let AtLeast::Revisions(revisions) = AtLeast::parse("1:7,0:41,1:9").unwrap() else {
            panic!()
        };
        let positions: Vec<_> =
            positions(&revisions).iter().map(|at| (at.partition, at.position)).collect();
        assert_eq!(positions, [(0, 42), (1, 10)]);
    }

    #[test]
    fn a_token_is_taken_as_a_client_gives_it() {
        let wire = v1::Token { topic_id: vec![7; 16].into(), positions: vec![] };
        let token = Token::try_from(wire).unwrap();
        let hex: String = token.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(AtLeast::parse(&hex).unwrap(), AtLeast::Token(token));
    }

    #[test]
    fn what_is_neither_is_refused_with_what_would_be_one() {
        for text in ["", "7", "0:", ":7", "0:x", "0:1,", "abc", "zz", "ff", "-1:0", "0:1:2"] {
            let error = AtLeast::parse(text).expect_err(text).to_string();
            assert!(error.contains("0:4207"), "{text}: {error}");
        }
    }

    #[test]
    fn a_position_decides_the_level_and_contradictions_are_told() {
        use LevelName::{AtLeast, Latest, Local, Stale};
        let level = |level, at_least| freshness(level, at_least).level();
        assert_eq!(level(None, None).unwrap(), Level::Local);
        assert_eq!(level(None, Some("0:1")).unwrap(), Level::Session);
        assert_eq!(level(Some(AtLeast), Some("0:1")).unwrap(), Level::Session);
        assert_eq!(level(Some(Latest), Some("0:1")).unwrap(), Level::Latest);
        let bare = level(Some(AtLeast), None).unwrap_err();
        assert!(bare.to_string().contains("--at-least PARTITION:OFFSET"), "{bare}");
        for (name, at_least) in [(Stale, "0:1"), (Local, "0:1")] {
            assert_eq!(
                level(Some(name), Some(at_least)).unwrap_err().exit(),
                crate::exit::Exit::Usage
            );
        }
    }
}
