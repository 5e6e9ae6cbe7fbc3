//! A session that travels beside the messages, so that a plain stub needs nothing but an interceptor: each call brings what
//! the last answer brought (`outrigger-token-bin`, empty in the first one), reads include it, and each answer brings what
//! the session has seen then. Who does not send it is sent nothing.

use outrigger_client::{AnotherTopic, Token};
use outrigger_proto::v1::{self, ErrorDetail, Level, ReadOptions};
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
    /// Reads what the caller of a store with this many partitions sends. None: it sends nothing.
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
        let token = (!bytes.is_empty()).then(|| Token::from_bytes(&bytes)).transpose();
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
        let mut both = seen.clone();
        if let Some(asked) = options.token.take() {
            let asked = Token::try_from(asked);
            let asked = asked.map_err(|error| error::token_invalid(error.to_string()))?;
            both.merge(asked).map_err(|AnotherTopic| {
                let message = format!("the token of the read and {NAME} are of different topics");
                error::invalid_request(message, "leave one of them out")
            })?;
        }
        options.token = Some(v1::Token::from(&both));
        Ok(())
    }

    /// Adds to an answer what the session has seen with it. `token`: what the answer tells.
    ///
    /// A session that saw another topic keeps that, so that its next read is refused by name.
    pub(super) fn tell(self, token: Option<&v1::Token>, metadata: &mut MetadataMap) {
        // A peer may have given the answer, and what is no token moves nothing.
        let token = token.filter(|_| !self.outside).cloned();
        let token = token.and_then(|token| Token::try_from(token).ok());
        let seen = match (self.seen, token) {
            (None, None) => return,
            (None, Some(only)) | (Some(only), None) => only,
            (Some(mut seen), Some(token)) => match seen.merge(token) {
                Ok(()) | Err(AnotherTopic) => seen,
            },
        };
        metadata.insert_bin(NAME, BinaryMetadataValue::from_bytes(&seen.to_bytes()));
    }
}
