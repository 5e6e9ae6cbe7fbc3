//! Where a watch was.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use outrigger_proto::v1;
use prost::Message;

use crate::token::{InvalidToken, Token};

/// Where a watch was: after everything that it had told by then. It holds on every node of the store.
///
/// It is not a secret. Keep it where the effects of the changes are kept, best in the same transaction
/// ([`WatchPoint::to_bytes`]), and hand it to [`Watch::from_point`](crate::Watch::from_point).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchPoint {
    token: Token,
    confirmed_at_ms: u64,
}

/// Why bytes are not a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPoint {
    /// They are not a message of the protocol.
    #[error("these bytes are not an encoded point of a watch")]
    NotEncoded,
    /// Its token is none.
    #[error("its token is none: {0}")]
    Token(InvalidToken),
}

impl WatchPoint {
    /// What was included. A session that [resumes](crate::Store::resume) it reads all that was told.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// When it was last known that nothing was missing, by the clock of a node.
    pub fn confirmed_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.confirmed_at_ms)
    }

    /// Encodes the point (as the protobuf message `outrigger.v1.WatchPoint`).
    pub fn to_bytes(&self) -> Bytes {
        v1::WatchPoint::from(self).encode_to_vec().into()
    }

    /// Decodes what [`WatchPoint::to_bytes`] made. Whether a node can go on from it is the node's to say.
    ///
    /// # Errors
    ///
    /// [`InvalidPoint`] says what is wrong with the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<WatchPoint, InvalidPoint> {
        let point = v1::WatchPoint::decode(bytes).map_err(|_| InvalidPoint::NotEncoded)?;
        WatchPoint::try_from(point)
    }
}

impl TryFrom<v1::WatchPoint> for WatchPoint {
    type Error = InvalidPoint;

    fn try_from(point: v1::WatchPoint) -> Result<WatchPoint, InvalidPoint> {
        let token = point.token.ok_or(InvalidPoint::NotEncoded)?;
        let token = Token::try_from(token).map_err(InvalidPoint::Token)?;
        Ok(WatchPoint { token, confirmed_at_ms: point.confirmed_at_ms })
    }
}

impl From<&WatchPoint> for v1::WatchPoint {
    fn from(point: &WatchPoint) -> v1::WatchPoint {
        v1::WatchPoint {
            token: Some(v1::Token::from(&point.token)),
            confirmed_at_ms: point.confirmed_at_ms,
        }
    }
}
