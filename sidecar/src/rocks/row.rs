//! The stored form of a row, in the column family of its partition.
//!
//! ```text
//! key:   0x01 | the raw key
//! value: offset u64 big-endian | the raw value
//! ```
//! Keys keep their order. The prefix keeps them apart from what is ours (0x00).

use outrigger_core::offset::Offset;

const PREFIX: u8 = 0x01;

/// First key above all rows.
pub(super) const END: &[u8] = &[PREFIX + 1];

pub(super) fn key(raw: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + raw.len());
    write_key(&mut key, raw);
    key
}

/// Makes `key` the stored form of `raw`; its memory is used again.
pub(super) fn write_key(key: &mut Vec<u8>, raw: &[u8]) {
    key.clear();
    key.push(PREFIX);
    key.extend_from_slice(raw);
}

pub(super) fn write_value(value: &mut Vec<u8>, offset: Offset, raw: &[u8]) {
    value.clear();
    value.extend_from_slice(&offset.0.to_be_bytes());
    value.extend_from_slice(raw);
}

/// The raw key of a stored one. `None`: these bytes are not a row's key.
pub(super) fn read_key(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&[PREFIX])
}

/// Offset and raw value of a stored one. `None`: these bytes are not a row's value.
pub(super) fn read_value(value: &[u8]) -> Option<(Offset, &[u8])> {
    let (offset, raw) = value.split_first_chunk()?;
    Some((Offset(u64::from_be_bytes(*offset)), raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_that_older_copies_have() {
        assert_eq!(key(b"k\0"), b"\x01k\0");
        assert_eq!(key(b""), b"\x01");
        let mut value = b"left over".to_vec();
        write_value(&mut value, Offset(0x0102), b"v");
        assert_eq!(value, b"\0\0\0\0\0\0\x01\x02v");
        assert_eq!(read_value(&value), Some((Offset(0x0102), &b"v"[..])));
        assert_eq!(read_key(b"\x01k"), Some(&b"k"[..]));
    }

    #[test]
    fn what_is_no_row_is_refused() {
        assert_eq!(read_value(b"short"), None);
        assert_eq!(read_key(b"\x00lineage"), None);
        assert!(key(&[0xff; 40]).as_slice() < END);
    }
}
