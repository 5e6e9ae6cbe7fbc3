//! The stored form of a lineage, one per partition, under [`KEY`] beside the rows it speaks of.
//!
//! All numbers big-endian:
//! ```text
//! version u8 = 1 | position u64 | exact_from u64 | confirmed_at_ms u64 | delete_retention_ms_min u64
//! epochs u8 | that many times: epoch u32, first offset u64
//! version 2 only: ends u8 | that many times: leader epoch u32, end u64
//! ```
//! A copy that waits for no end is of version 1, which older versions of this program read too.

use outrigger_core::lineage::{EpochChain, Lineage, LogEnds};
use outrigger_core::offset::{Epoch, Offset};

/// The meta prefix, which no row's key begins with, and a name.
pub(super) const KEY: &[u8] = b"\x00lineage";

const VERSION: u8 = 1;

/// The version of a lineage with ends of the log.
const VERSION_ENDS: u8 = 2;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineageError {
    #[error("lineage of version {0}, and this version knows {VERSION} and {VERSION_ENDS}")]
    Version(u8),
    #[error("bytes that are no lineage")]
    Malformed,
}

pub(super) fn encode(lineage: &Lineage) -> Vec<u8> {
    let Lineage { position, epochs, exact_from, ends, confirmed_at_ms, delete_retention_ms_min } =
        lineage;
    let (starts, told) = (epochs.starts(), ends.told());
    let mut bytes = Vec::with_capacity(35 + 12 * (starts.len() + told.len()));
    bytes.push(if told.is_empty() { VERSION } else { VERSION_ENDS });
    for number in [position.0, exact_from.0, *confirmed_at_ms, *delete_retention_ms_min] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    encode_pairs(starts, &mut bytes);
    if !told.is_empty() {
        encode_pairs(told, &mut bytes);
    }
    bytes
}

fn encode_pairs(pairs: &[(Epoch, Offset)], bytes: &mut Vec<u8>) {
    bytes.push(u8::try_from(pairs.len()).expect("both are bounded far below 256"));
    for (epoch, offset) in pairs {
        bytes.extend_from_slice(&epoch.0.to_be_bytes());
        bytes.extend_from_slice(&offset.0.to_be_bytes());
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Lineage, LineageError> {
    match bytes.split_first() {
        Some((version @ &(VERSION | VERSION_ENDS), rest)) => {
            decode_known(*version, rest).ok_or(LineageError::Malformed)
        }
        Some((version, _)) => Err(LineageError::Version(*version)),
        None => Err(LineageError::Malformed),
    }
}

fn decode_known(version: u8, mut bytes: &[u8]) -> Option<Lineage> {
    let bytes = &mut bytes;
    let position = Offset(u64::from_be_bytes(take(bytes)?));
    let exact_from = Offset(u64::from_be_bytes(take(bytes)?));
    let confirmed_at_ms = u64::from_be_bytes(take(bytes)?);
    let delete_retention_ms_min = u64::from_be_bytes(take(bytes)?);
    let epochs = EpochChain::from_starts(decode_pairs(bytes)?)?;
    let told = if version == VERSION_ENDS { decode_pairs(bytes)? } else { Vec::new() };
    let ends = LogEnds::from_told(told)?;
    let lineage =
        Lineage { position, epochs, exact_from, ends, confirmed_at_ms, delete_retention_ms_min };
    // A lineage without an end is of version 1.
    let is_spelt = bytes.is_empty() && (version == VERSION_ENDS) != lineage.ends.told().is_empty();
    (is_spelt && is_of_a_log(&lineage)).then_some(lineage)
}

/// Whether Kafka could have such numbers, which have a sign. What a peer gave may have others, and they are handed to
/// librdkafka.
fn is_of_a_log(lineage: &Lineage) -> bool {
    let pairs = || lineage.epochs.starts().iter().chain(lineage.ends.told());
    let offsets = [lineage.position, lineage.exact_from];
    let mut offsets = offsets.into_iter().chain(pairs().map(|(_, offset)| *offset));
    offsets.all(|offset| i64::try_from(offset.0).is_ok())
        && pairs().all(|(epoch, _)| i32::try_from(epoch.0).is_ok())
}

fn decode_pairs(bytes: &mut &[u8]) -> Option<Vec<(Epoch, Offset)>> {
    let [count] = take(bytes)?;
    let mut pairs = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let epoch = Epoch(u32::from_be_bytes(take(bytes)?));
        pairs.push((epoch, Offset(u64::from_be_bytes(take(bytes)?))));
    }
    Some(pairs)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = bytes.split_first_chunk()?;
    *bytes = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::{mutated, mutations};
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_those_that_older_copies_have() {
        let lineage = Lineage {
            position: Offset(0x0102_0304),
            epochs: EpochChain::from_starts(vec![(Epoch(3), Offset(0)), (Epoch(7), Offset(0x100))])
                .unwrap(),
            exact_from: Offset(5),
            ends: LogEnds::default(),
            confirmed_at_ms: 0x0a0b,
            delete_retention_ms_min: 600_000,
        };
        let golden = b"\x01\0\0\0\0\x01\x02\x03\x04\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\x0a\x0b\0\0\0\0\0\x09\x27\xc0\
            \x02\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\x01\0";
        assert_eq!(encode(&lineage), golden);
        assert_eq!(decode(golden), Ok(lineage));
    }

    #[test]
    fn the_ends_of_a_log_follow_and_make_it_version_2() {
        let ends = LogEnds::from_told(vec![(Epoch(3), Offset(0x100))]).unwrap();
        let lineage = Lineage { ends, exact_from: Offset(0x100), ..Lineage::empty(1, 2) };
        let golden = b"\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\
            \0\x01\0\0\0\x03\0\0\0\0\0\0\x01\0";
        assert_eq!(encode(&lineage), golden);
        assert_eq!(decode(golden), Ok(lineage));
    }

    #[test]
    fn what_no_log_has_is_no_lineage() {
        let above = Offset(i64::MAX.unsigned_abs() + 1);
        let chain = |epoch, offset| EpochChain::from_starts(vec![(epoch, offset)]).unwrap();
        let ends = |epoch, offset| LogEnds::from_told(vec![(epoch, offset)]).unwrap();
        let empty = || Lineage::empty(1, 2);
        for lineage in [
            Lineage { position: above, ..empty() },
            Lineage { exact_from: above, ..empty() },
            Lineage { epochs: chain(Epoch(1), above), ..empty() },
            Lineage { epochs: chain(Epoch(1 << 31), Offset(1)), ..empty() },
            Lineage { ends: ends(Epoch(1), above), ..empty() },
            Lineage { ends: ends(Epoch(1 << 31), Offset(1)), ..empty() },
        ] {
            assert_eq!(decode(&encode(&lineage)), Err(LineageError::Malformed), "{lineage:?}");
        }
    }

    #[test]
    fn another_version_is_told_from_damage() {
        assert_eq!(decode(b"\x03anything"), Err(LineageError::Version(3)));
        assert_eq!(decode(b""), Err(LineageError::Malformed));
    }

    fn chain() -> impl Strategy<Value = EpochChain> {
        prop::collection::vec((0_u32..1_000, 0_u64..1 << 40), 0..40).prop_map(|mut starts| {
            starts.sort_unstable();
            let mut chain = EpochChain::default();
            let mut highest = 0;
            for (epoch, offset) in starts {
                highest = highest.max(offset);
                chain.observe(Epoch(epoch), Offset(highest));
            }
            chain
        })
    }

    fn ends() -> impl Strategy<Value = LogEnds> {
        prop::collection::vec((1_u32..1_000, 1_u64..1 << 40), 0..32).prop_map(|steps| {
            let (mut leader, mut end) = (Epoch(0), Offset(0));
            let told = steps.into_iter().map(|(epochs, offsets)| {
                (leader, end) = (Epoch(leader.0 + epochs), Offset(end.0 + offsets));
                (leader, end)
            });
            LogEnds::from_told(told.collect()).unwrap()
        })
    }

    proptest! {
        #[test]
        fn every_lineage_comes_back(
            epochs in chain(),
            ends in ends(),
            [position, exact_from] in [0..=i64::MAX.unsigned_abs(), 0..=i64::MAX.unsigned_abs()],
            [confirmed_at_ms, delete_retention_ms_min] in any::<[u64; 2]>(),
            cut in any::<prop::sample::Index>(),
            mutations in mutations(),
        ) {
            let (position, exact_from) = (Offset(position), Offset(exact_from));
            let lineage = Lineage { position, epochs, exact_from, ends, confirmed_at_ms, delete_retention_ms_min };
            let bytes = encode(&lineage);
            prop_assert_eq!(decode(&bytes), Ok(lineage));
            prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
            let longer = [&bytes[..], b"\0"].concat();
            prop_assert_eq!(decode(&longer), Err(LineageError::Malformed));
            let bytes = mutated(&bytes, &mutations);
            if let Ok(other) = decode(&bytes) {
                prop_assert_eq!(encode(&other), bytes);
            }
        }
    }
}
