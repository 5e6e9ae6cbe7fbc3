//! Kafka's default partitioner for keyed records: Java's murmur2, so that every client agrees.

use crate::offset::Partition;

/// Partition of `key` in a topic with `partitions` partitions, as the Java client chooses it
/// (`BuiltInPartitioner.partitionForKey`: the hash with the sign bit cleared, modulo the count).
pub fn partition_of(key: &[u8], partitions: u32) -> Partition {
    assert!(partitions > 0, "a topic has at least one partition");
    if partitions == 1 {
        return Partition(0);
    }
    Partition((murmur2(key) & 0x7fff_ffff) % partitions)
}

/// `org.apache.kafka.common.utils.Utils.murmur2`, seed included.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    // The Java code adds the length as an int: a key longer than 2^32 bytes cannot exist.
    let length = u32::try_from(data.len()).expect("a key fits a record, which is below 2^31 bytes");
    let mut hash = 0x9747_b28c ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().expect("chunks of four")).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_equal_javas() {
        let vectors: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key), u32::from_ne_bytes(hash.to_ne_bytes()), "{key:?}");
        }
    }

    #[test]
    fn every_partition_is_in_range() {
        for number in 0_u32..1_000 {
            assert!(partition_of(&number.to_le_bytes(), 7).0 < 7);
        }
    }
}
