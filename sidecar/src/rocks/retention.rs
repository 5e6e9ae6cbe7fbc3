//! What was heard of the topic's retention before a copy from a peer was adopted. It is in a file beside the database,
//! which stays as the peer made it. What the copy itself has seen is in its lineages.
//!
//! It has one line: `delete.retention.ms <n>`, in milliseconds.

use std::io;
use std::path::Path;

use super::files;

const RETENTION: &str = "RETENTION";
const SETTING: &str = "delete.retention.ms ";

pub(super) fn write(generation: &Path, delete_retention_ms_min: u64) -> io::Result<()> {
    let text = format!("{SETTING}{delete_retention_ms_min}\n");
    files::replace(&generation.join(RETENTION), text.as_bytes())
}

/// The smallest retention that was heard, in milliseconds; `u64::MAX` for a copy that came from nobody.
pub(super) fn read(generation: &Path) -> io::Result<u64> {
    let Some(bytes) = files::read(&generation.join(RETENTION))? else { return Ok(u64::MAX) };
    // A damaged file may have had a smaller one: then nothing of the copy can be trusted.
    Ok(decode(&bytes).unwrap_or(0))
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let text = str::from_utf8(bytes).ok()?;
    let number = text.strip_prefix(SETTING)?.strip_suffix('\n')?.parse().ok()?;
    (text == format!("{SETTING}{number}\n")).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_there_was_never_heard_and_what_is_damaged_trusts_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), u64::MAX);
        write(directory.path(), 1_500).unwrap();
        assert_eq!(read(directory.path()).unwrap(), 1_500);
        for damaged in ["", "delete.retention.ms 15", "delete.retention.ms +1500\n", "1500\n"] {
            std::fs::write(directory.path().join(RETENTION), damaged).unwrap();
            assert_eq!(read(directory.path()).unwrap(), 0, "{damaged:?}");
        }
    }

    proptest! {
        #[test]
        fn every_number_comes_back(number: u64) {
            prop_assert_eq!(decode(format!("{SETTING}{number}\n").as_bytes()), Some(number));
        }

        #[test]
        fn nothing_else_is_believed(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(number) = decode(&bytes) {
                prop_assert_eq!(bytes, format!("{SETTING}{number}\n").into_bytes());
            }
        }
    }
}
