//! A session that travels beside the messages, so that a plain stub needs nothing but an interceptor: each call brings what
//! the last answer brought (`outrigger-token-bin`, empty in the first one), reads include it, and each answer brings what
//! the session has seen then. Who does not send it is sent nothing.

use std::collections::BTreeMap;

use outrigger_proto::v1::{ErrorDetail, Level, PartitionPosition, ReadOptions, Token};
use prost::Message;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};

use super::error;

const NAME: &str = "outrigger-token-bin";

/// Bytes of the metadata of an answer that every gRPC library takes are 8 KiB, of which a partition's position needs 22 in
/// base64.
const PARTITIONS_MAX: usize = 256;

/// The session that a call belongs to.
pub(super) struct Session {
    /// What it has seen; none: nothing yet.
    seen: Option<Token>,
    /// Whether what the answer shows is no part of it.
    outside: bool,
}

impl Session {
    /// Reads what the caller of a store with so many partitions sends. None: it sends nothing.
    pub(super) fn of(
        metadata: &MetadataMap,
        partitions: impl FnOnce() -> Result<usize, ErrorDetail>,
    ) -> Result<Option<Session>, ErrorDetail> {
        let Some(value) = metadata.get_bin(NAME) else { return Ok(None) };
        let partitions = partitions()?;
        if partitions > PARTITIONS_MAX {
            let message = format!(
                "{NAME} is for topics of at most {PARTITIONS_MAX} partitions, and this one has {partitions}"
            );
            return Err(error::invalid_request(message, "pass tokens in the messages"));
        }
        let unreadable = |why: &str| error::token_invalid(format!("{NAME} is no token: {why}"));
        let bytes = value.to_bytes().map_err(|error| unreadable(&error.to_string()))?;
        let token = (!bytes.is_empty()).then(|| Token::decode(bytes)).transpose();
        let seen = token.map_err(|error| unreadable(&error.to_string()))?;
        Ok(Some(Session { seen, outside: false }))
    }

    /// Has a read include what the session has seen. A read at STALE is outside of every session.
    pub(super) fn include(&mut self, read: &mut Option<ReadOptions>) -> Result<(), ErrorDetail> {
        let level = read.as_ref().map_or(0, |options| options.level);
        self.outside = level == i32::from(Level::Stale);
        let Some(seen) = self.seen.as_ref().filter(|_| !self.outside) else { return Ok(()) };
        let options = read.get_or_insert_default();
        let (unspecified, local) = (i32::from(Level::Unspecified), i32::from(Level::Local));
        if (options.level == unspecified || options.level == local) && options.token.is_none() {
            options.level = Level::AtLeast.into();
        }
        let both = match options.token.take() {
            None => seen.clone(),
            Some(asked) => merged(asked, seen).ok_or_else(|| {
                let message = format!("the token of the read and {NAME} are of different topics");
                error::invalid_request(message, "leave one of them out")
            })?,
        };
        options.token = Some(both);
        Ok(())
    }

    /// Adds to an answer what the session has seen with it. `token`: what the answer tells.
    ///
    /// What was seen of another topic is not forgotten behind the caller's back: its next read is refused by name.
    pub(super) fn tell(self, token: Option<&Token>, metadata: &mut MetadataMap) {
        let token = token.filter(|_| !self.outside);
        let seen = match (self.seen, token) {
            (None, None) => return,
            (None, Some(token)) => token.clone(),
            (Some(seen), None) => seen,
            (Some(seen), Some(token)) => merged(seen.clone(), token).unwrap_or(seen),
        };
        metadata.insert_bin(NAME, BinaryMetadataValue::from_bytes(&seen.encode_to_vec()));
    }
}

/// The smallest token that includes both; none: they are of different topics.
fn merged(one: Token, other: &Token) -> Option<Token> {
    if one.topic_id != other.topic_id {
        return None;
    }
    let mut greatest = BTreeMap::<u32, PartitionPosition>::new();
    for at in one.positions.into_iter().chain(other.positions.iter().copied()) {
        let known = greatest.entry(at.partition).or_insert(at);
        // Of the same position, who names the leader epoch says more.
        if (known.position, known.leader_epoch) < (at.position, at.leader_epoch) {
            *known = at;
        }
    }
    Some(Token { positions: greatest.into_values().collect(), ..one })
}
