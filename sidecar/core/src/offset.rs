//! The numbers of a log, each its own type: an offset never meets a leader epoch by accident.

use std::fmt;
use std::str::FromStr;

/// Place of a record in a partition, or a position: exclusive, everything below it has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    pub const ZERO: Offset = Offset(0);

    /// The position after a record at this offset.
    pub fn next(self) -> Offset {
        Offset(self.0.checked_add(1).expect("Kafka's offsets are below 2^63"))
    }

    /// The offset right below; none at the very beginning.
    pub fn before(self) -> Option<Offset> {
        self.0.checked_sub(1).map(Offset)
    }

    /// How many offsets are in `earlier..self`; 0 when `earlier` is not below.
    pub fn since(self, earlier: Offset) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Leader epoch: how many times the partition's leader was elected (KIP-101).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a partition, `0..partitions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u32);

impl Partition {
    pub fn index(self) -> usize {
        usize::try_from(self.0).expect("usize holds 32 bits on every supported platform")
    }

    /// All partitions of a topic with `count` of them.
    pub fn all(count: u32) -> impl Iterator<Item = Partition> {
        (0..count).map(Partition)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The record that wrote a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    pub partition: Partition,
    pub offset: Offset,
}

/// One RocksDB directory of a store; a rebuild makes the next one. No number is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a generation is named like g3")]
pub struct NoGeneration;

/// It is spelled as it is shown, and in no other way.
impl FromStr for Generation {
    type Err = NoGeneration;

    fn from_str(text: &str) -> Result<Generation, NoGeneration> {
        let number = text.strip_prefix('g').and_then(|number| number.parse().ok());
        let generation = number.map(Generation).ok_or(NoGeneration)?;
        if generation.to_string() == text { Ok(generation) } else { Err(NoGeneration) }
    }
}

/// Names one call from its start to its only answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_spelling_names_a_generation() {
        assert_eq!("g12".parse(), Ok(Generation(12)));
        for other in ["g", "g012", "g+1", "g1.new", "G1", "1", "g99999999999999999999"] {
            assert_eq!(other.parse::<Generation>(), Err(NoGeneration), "{other}");
        }
    }
}
