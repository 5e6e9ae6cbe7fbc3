//! A point in the history of a store's topic: what a session has seen of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use outrigger_proto::v1;
use prost::Message;

/// Kafka's offsets are 63 bits wide.
const POSITION_MAX: u64 = i64::MAX.unsigned_abs();

/// How far a session has seen each partition of one topic.
///
/// A copy *includes* a token when it is at least as far in every partition. A token is not a secret;
/// it may be stored, and handed to another process ([`Token::to_bytes`]), which continues the session
/// with [`Store::resume`](crate::Store::resume).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    topic_id: [u8; 16],
    /// A partition that is not here counts as position 0.
    positions: BTreeMap<u32, Position>,
}

/// It is ordered by position first: the further of two is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    /// Everything below this offset is included.
    position: u64,
    leader_epoch: Option<u32>,
}

/// Why bytes are not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// They are not a message of the protocol.
    #[error("these bytes are not an encoded token")]
    NotEncoded,
    /// The id of the topic has this many bytes and not 16.
    #[error("the topic id of the token has {0} bytes, not 16")]
    TopicId(usize),
    /// This partition is named twice.
    #[error("the token names partition {0} twice")]
    PartitionTwice(u32),
    /// The position in this partition is no offset of Kafka: those have 63 bits.
    #[error("the token's position in partition {0} is above 2^63 - 1")]
    Position(u32),
}

/// Two tokens of different topics have no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tokens are of different topics")]
pub struct AnotherTopic;

impl Token {
    /// The id of the topic, as Kafka gave it.
    pub fn topic_id(&self) -> [u8; 16] {
        self.topic_id
    }

    /// The position in one partition, from 0 to 2^63 - 1, exclusive: everything below this offset is included. It is 0
    /// in a partition of which the session has seen nothing.
    pub fn position(&self, partition: u32) -> u64 {
        self.positions.get(&partition).map_or(0, |at| at.position)
    }

    /// Whether this token is at least as far as the other in every partition.
    ///
    /// # Errors
    ///
    /// [`AnotherTopic`].
    pub fn includes(&self, other: &Token) -> Result<bool, AnotherTopic> {
        if other.topic_id != self.topic_id {
            return Err(AnotherTopic);
        }
        let behind = |(&partition, at): (&u32, &Position)| self.position(partition) < at.position;
        Ok(!other.positions.iter().any(behind))
    }

    /// Encodes the token (as the protobuf message `outrigger.v1.Token`).
    pub fn to_bytes(&self) -> Bytes {
        v1::Token::from(self).encode_to_vec().into()
    }

    /// Decodes what [`Token::to_bytes`] made. Whether the token is one of a store's topic is the node's to
    /// say, when a read asks for it.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] says what is wrong with the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Token, InvalidToken> {
        let token = v1::Token::decode(bytes).map_err(|_| InvalidToken::NotEncoded)?;
        Token::try_from(token)
    }

    /// Makes this the smallest token that includes both.
    ///
    /// # Errors
    ///
    /// [`AnotherTopic`], and this token stays as it is.
    pub fn merge(&mut self, other: Token) -> Result<(), AnotherTopic> {
        if other.topic_id != self.topic_id {
            return Err(AnotherTopic);
        }
        for (partition, at) in other.positions {
            self.positions.entry(partition).and_modify(|mine| *mine = at.max(*mine)).or_insert(at);
        }
        Ok(())
    }
}

impl TryFrom<v1::Token> for Token {
    type Error = InvalidToken;

    fn try_from(token: v1::Token) -> Result<Token, InvalidToken> {
        let topic_id = token.topic_id[..]
            .try_into()
            .map_err(|_| InvalidToken::TopicId(token.topic_id.len()))?;
        let mut positions = BTreeMap::new();
        for at in token.positions {
            if at.position > POSITION_MAX {
                return Err(InvalidToken::Position(at.partition));
            }
            match positions.entry(at.partition) {
                Entry::Occupied(_) => return Err(InvalidToken::PartitionTwice(at.partition)),
                Entry::Vacant(vacant) => {
                    vacant.insert(Position { position: at.position, leader_epoch: at.leader_epoch })
                }
            };
        }
        Ok(Token { topic_id, positions })
    }
}

impl From<&Token> for v1::Token {
    fn from(token: &Token) -> v1::Token {
        let positions = token.positions.iter().map(|(&partition, at)| v1::PartitionPosition {
            partition,
            position: at.position,
            leader_epoch: at.leader_epoch,
        });
        v1::Token {
            topic_id: Bytes::copy_from_slice(&token.topic_id),
            positions: positions.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(topic: u8, positions: &[(u32, u64, Option<u32>)]) -> Token {
        let positions = positions
            .iter()
            .map(|&(partition, position, leader_epoch)| {
                (partition, Position { position, leader_epoch })
            })
            .collect();
        Token { topic_id: [topic; 16], positions }
    }

    fn merged(mut a: Token, b: &Token) -> Token {
        a.merge(b.clone()).expect("the same topic");
        a
    }

    fn any_token() -> impl Strategy<Value = Token> {
        let position = (0..=POSITION_MAX, proptest::option::of(any::<u32>()))
            .prop_map(|(position, leader_epoch)| Position { position, leader_epoch });
        proptest::collection::btree_map(0u32..5, position, 0..5)
            .prop_map(|positions| Token { topic_id: [7; 16], positions })
    }

    #[test]
    fn merging_keeps_the_further_position_of_each_partition() {
        let mine = token(1, &[(0, 10, Some(3)), (1, 5, None)]);
        let other = token(1, &[(0, 9, Some(4)), (1, 6, None), (2, 1, Some(1))]);
        let expected = token(1, &[(0, 10, Some(3)), (1, 6, None), (2, 1, Some(1))]);
        assert_eq!(merged(mine, &other), expected);
    }

    #[test]
    fn at_the_same_position_a_known_leader_epoch_is_kept() {
        let known = token(1, &[(0, 10, Some(3))]);
        let unknown = token(1, &[(0, 10, None)]);
        assert_eq!(merged(known.clone(), &unknown), known);
        assert_eq!(merged(unknown, &known), known);
    }

    #[test]
    fn tokens_of_different_topics_do_not_merge() {
        let mut mine = token(1, &[(0, 10, None)]);
        let before = mine.clone();
        let other = token(2, &[(0, 99, None)]);
        assert_eq!(mine.includes(&other), Err(AnotherTopic));
        assert_eq!(mine.merge(other), Err(AnotherTopic));
        assert_eq!(mine, before);
    }

    #[test]
    fn what_is_not_a_token_is_refused_by_name() {
        let wire = |topic_id: &[u8], positions: &[(u32, u64)]| v1::Token {
            topic_id: Bytes::copy_from_slice(topic_id),
            positions: positions
                .iter()
                .map(|&(partition, position)| v1::PartitionPosition {
                    partition,
                    position,
                    leader_epoch: None,
                })
                .collect(),
        };
        for (token, refusal) in [
            (wire(b"", &[]), InvalidToken::TopicId(0)),
            (wire(b"fifteen bytes!!", &[]), InvalidToken::TopicId(15)),
            (wire(&[7; 16], &[(1, 1), (1, 2)]), InvalidToken::PartitionTwice(1)),
            (wire(&[7; 16], &[(3, POSITION_MAX + 1)]), InvalidToken::Position(3)),
        ] {
            assert_eq!(Token::from_bytes(&token.encode_to_vec()), Err(refusal));
        }
        assert_eq!(Token::from_bytes(b"\xff\xff"), Err(InvalidToken::NotEncoded));
    }

    proptest! {
        #[test]
        fn a_token_survives_its_encoding(token in any_token()) {
            prop_assert_eq!(Token::from_bytes(&token.to_bytes()), Ok(token));
        }

        #[test]
        fn merging_depends_on_no_order(a in any_token(), b in any_token(), c in any_token()) {
            let ab = merged(a.clone(), &b);
            prop_assert_eq!(&ab, &merged(b.clone(), &a));
            prop_assert_eq!(&ab, &merged(ab.clone(), &a));
            prop_assert_eq!(merged(ab.clone(), &c), merged(a.clone(), &merged(b.clone(), &c)));
            for partition in 0..5 {
                prop_assert!(ab.position(partition) >= a.position(partition));
            }
            prop_assert_eq!((ab.includes(&a), ab.includes(&b)), (Ok(true), Ok(true)));
            let same = (0..5).all(|partition| a.position(partition) == ab.position(partition));
            prop_assert_eq!(a.includes(&b), Ok(same));
        }
    }
}
