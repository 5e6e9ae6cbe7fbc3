//! A scan's place in its snapshot: reads one batch at a time and knows where the next one begins.

use outrigger_core::keys::Range;
use outrigger_core::offset::Revision;
use outrigger_core::store::{Scan, StoreError, View};
use outrigger_proto::v1::Row;

use super::arena::{Arena, Entry};

/// Which rows of a snapshot, and what of them.
pub(super) struct Selection {
    pub(super) range: Range,
    pub(super) reverse: bool,
    pub(super) keys_only: bool,
    pub(super) rows_max: Option<u64>,
    /// Bytes of key and value.
    pub(super) row_bytes_max: usize,
    pub(super) large_rows: LargeRows,
}

/// What becomes of a row that is larger than its caller takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LargeRows {
    Refuse,
    OmitValue,
}

/// A row that is larger than its caller takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LargeRow {
    /// The beginning of its key.
    pub(super) key: Vec<u8>,
    pub(super) key_bytes: usize,
    pub(super) value_bytes: usize,
    pub(super) revision: Revision,
    pub(super) bytes_max: usize,
}

#[derive(Debug)]
pub(super) enum WalkFailure {
    Store(StoreError),
    /// A row is larger than its caller takes. The rows before it were read.
    LargeRow(LargeRow),
}

/// Bytes of a large row's key that are shown: enough to find it, little enough for a message.
const KEY_SHOWN_BYTES: usize = 64;

pub(super) struct Walk {
    view: Box<dyn View + Send>,
    /// What is left.
    selection: Selection,
    at_end: bool,
}

impl Walk {
    pub(super) fn new(view: Box<dyn View + Send>, selection: Selection) -> Walk {
        Walk { view, selection, at_end: false }
    }

    /// Whether no row is left.
    pub(super) fn at_end(&self) -> bool {
        self.at_end
    }

    /// Returns the snapshot, for another range.
    pub(super) fn into_view(self) -> Box<dyn View + Send> {
        self.view
    }

    /// Reads the next rows, none only at the end. Blocks on the disk.
    pub(super) fn next_batch(&mut self) -> Result<Vec<Row>, WalkFailure> {
        let Selection { range, reverse, keys_only, rows_max, row_bytes_max, large_rows } =
            &mut self.selection;
        let mut batch = Arena::default();
        let (mut more, mut refused) = (false, None);
        let mut row = |key: &[u8], revision: Revision, value: &[u8]| {
            if *rows_max == Some(0) {
                return Scan::Stop;
            }
            let value = if *keys_only { b"" } else { value };
            let (value, omitted) = match taken(key, value, revision, *row_bytes_max, *large_rows) {
                Ok(taken) => taken,
                // The rows before it come first, then its name.
                Err(_) if !batch.is_empty() => {
                    more = true;
                    return Scan::Stop;
                }
                Err(large) => {
                    refused = Some(large);
                    return Scan::Stop;
                }
            };
            if !batch.push(key, Some(value), omitted, revision) {
                more = true;
                return Scan::Stop;
            }
            if let Some(rows_max) = rows_max {
                *rows_max -= 1;
            }
            Scan::Continue
        };
        self.view
            .scan(&range.start, range.end.as_deref(), *reverse, &mut row)
            .map_err(WalkFailure::Store)?;
        if let Some(large) = refused {
            return Err(WalkFailure::LargeRow(large));
        }
        let rows: Vec<Row> = batch.into_entries().map(row_of).collect();
        self.at_end = !more;
        if let (true, Some(last)) = (more, rows.last()) {
            continue_after(range, &last.key, *reverse);
        }
        Ok(rows)
    }
}

impl LargeRow {
    pub(super) fn check(
        key: &[u8],
        value_bytes: usize,
        revision: Revision,
        bytes_max: usize,
    ) -> Result<(), LargeRow> {
        if key.len() + value_bytes <= bytes_max {
            return Ok(());
        }
        let shown = key[..key.len().min(KEY_SHOWN_BYTES)].to_vec();
        Err(LargeRow { key: shown, key_bytes: key.len(), value_bytes, revision, bytes_max })
    }
}

/// Returns the value to send, and how many bytes of it were left out.
pub(super) fn taken<'a>(
    key: &[u8],
    value: &'a [u8],
    revision: Revision,
    bytes_max: usize,
    large_rows: LargeRows,
) -> Result<(&'a [u8], Option<usize>), LargeRow> {
    match (LargeRow::check(key, value.len(), revision, bytes_max), large_rows) {
        (Ok(()), _) => Ok((value, None)),
        (Err(_), LargeRows::OmitValue) if key.len() <= bytes_max => Ok((b"", Some(value.len()))),
        (Err(large), LargeRows::Refuse | LargeRows::OmitValue) => Err(large),
    }
}

fn row_of(entry: Entry) -> Row {
    Row {
        key: entry.key,
        value: entry.value.unwrap_or_default(),
        revision: Some(entry.revision),
        omitted_value_bytes: entry.omitted_value_bytes,
    }
}

/// What is left of a range behind a key.
fn continue_after(range: &mut Range, key: &[u8], reverse: bool) {
    if reverse {
        range.end = Some(key.to_vec());
    } else {
        // The scan resumes at the smallest key above this one.
        range.start = [key, b"\0"].concat();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use outrigger_core::lineage::Lineage;
    use outrigger_core::offset::{Offset, Partition};
    use outrigger_core::store;
    use outrigger_proto::limits::{BATCH_BYTES, BATCH_LEN_MAX};

    use super::*;
    use crate::grpc::convert;

    struct Rows(BTreeMap<Vec<u8>, Vec<u8>>);

    const REVISION: Revision = Revision { partition: Partition(0), offset: Offset(7) };

    impl View for Rows {
        fn lineages(&self) -> Result<Vec<Lineage>, StoreError> {
            Ok(vec![])
        }

        fn get(&self, _key: &[u8]) -> Result<Option<store::Row>, StoreError> {
            Ok(None)
        }

        fn scan(
            &self,
            start: &[u8],
            end: Option<&[u8]>,
            reverse: bool,
            row: &mut dyn FnMut(&[u8], Revision, &[u8]) -> Scan,
        ) -> Result<(), StoreError> {
            assert!(end.is_none_or(|end| start <= end), "{start:?}..{end:?}");
            let range = self.0.range::<[u8], _>((
                Bound::Included(start),
                end.map_or(Bound::Unbounded, Bound::Excluded),
            ));
            let mut rows: Vec<_> = range.collect();
            if reverse {
                rows.reverse();
            }
            let _stopped =
                rows.into_iter().any(|(key, value)| row(key, REVISION, value) == Scan::Stop);
            Ok(())
        }
    }

    fn numbered(count: u32, value: &[u8]) -> Rows {
        Rows((0..count).map(|number| (number.to_be_bytes().to_vec(), value.to_vec())).collect())
    }

    fn all() -> Selection {
        let range = Range { start: vec![], end: None };
        let (row_bytes_max, large_rows) = (1 << 20, LargeRows::Refuse);
        let (reverse, keys_only, rows_max) = (false, false, None);
        Selection { range, reverse, keys_only, rows_max, row_bytes_max, large_rows }
    }

    fn batches(rows: Rows, selection: Selection) -> Vec<Vec<Row>> {
        let mut walk = Walk::new(Box::new(rows), selection);
        let mut batches = vec![];
        while !walk.at_end() {
            batches.push(walk.next_batch().expect("rows in memory"));
        }
        batches
    }

    fn keys(batches: &[Vec<Row>]) -> Vec<u32> {
        let key = |row: &Row| u32::from_be_bytes(row.key[..].try_into().expect("four bytes"));
        batches.iter().flatten().map(key).collect()
    }

    #[test]
    fn every_row_comes_once_in_order_over_any_number_of_batches() {
        for count in [0, 1, 999, 1_000, 1_001, 2_000, 2_500] {
            let up = batches(numbered(count, b"v"), all());
            assert_eq!(keys(&up), (0..count).collect::<Vec<_>>(), "{count}");
            let down = batches(numbered(count, b"v"), Selection { reverse: true, ..all() });
            assert_eq!(keys(&down), (0..count).rev().collect::<Vec<_>>(), "{count}");
            assert!(up.iter().all(|batch| batch.len() <= BATCH_LEN_MAX));
        }
    }

    #[test]
    fn a_limit_is_exact_wherever_it_falls() {
        for rows_max in [1, 999, 1_000, 1_001, 2_499, 2_500, 2_501] {
            let found = keys(&batches(
                numbered(2_500, b""),
                Selection { rows_max: Some(rows_max), ..all() },
            ));
            let expected = u32::try_from(rows_max.min(2_500)).expect("small");
            assert_eq!(found, (0..expected).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_range_holds_for_every_batch() {
        let range = || Range {
            start: 100_u32.to_be_bytes().to_vec(),
            end: Some(2_400_u32.to_be_bytes().to_vec()),
        };
        let up = batches(numbered(2_500, b""), Selection { range: range(), ..all() });
        assert_eq!(keys(&up), (100..2_400).collect::<Vec<_>>());
        let down =
            batches(numbered(2_500, b""), Selection { range: range(), reverse: true, ..all() });
        assert_eq!(keys(&down), (100..2_400).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_message_is_bounded_in_bytes_and_a_large_row_travels_alone() {
        let large = vec![0; BATCH_BYTES * 3];
        let mut rows = numbered(3, b"small").0;
        rows.insert(1_u32.to_be_bytes().to_vec(), large.clone());
        let batches = batches(Rows(rows), all());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(batches[1][0].value, large);
        let many = self::batches(numbered(900, &[0; 1_000]), all());
        assert!(many.len() > 1 && keys(&many).len() == 900);
    }

    /// Reads three rows, the second of which has a value of 9 bytes.
    fn one_large(selection: Selection) -> (Vec<Vec<u32>>, Option<LargeRow>) {
        let mut rows = numbered(3, b"v").0;
        rows.insert(1_u32.to_be_bytes().to_vec(), vec![0; 9]);
        let mut walk = Walk::new(Box::new(Rows(rows)), selection);
        let mut sent = vec![];
        while !walk.at_end() {
            match walk.next_batch() {
                Ok(batch) => sent.push(keys(&[batch])),
                Err(WalkFailure::LargeRow(row)) => return (sent, Some(row)),
                Err(WalkFailure::Store(error)) => panic!("rows in memory: {error}"),
            }
        }
        (sent, None)
    }

    #[test]
    fn a_row_above_the_callers_limit_is_named_after_the_rows_before_it() {
        let limited = |row_bytes_max| Selection { row_bytes_max, ..all() };
        assert_eq!(one_large(limited(13)), (vec![vec![0, 1, 2]], None), "just fits");
        let row = LargeRow {
            key: 1_u32.to_be_bytes().to_vec(),
            key_bytes: 4,
            value_bytes: 9,
            revision: REVISION,
            bytes_max: 12,
        };
        assert_eq!(one_large(limited(12)), (vec![vec![0]], Some(row.clone())));
        let down = Selection { reverse: true, ..limited(12) };
        assert_eq!(one_large(down), (vec![vec![2]], Some(row)));
        let keys_only = Selection { keys_only: true, ..limited(12) };
        assert_eq!(one_large(keys_only), (vec![vec![0, 1, 2]], None));
        let before = Selection { rows_max: Some(1), ..limited(12) };
        assert_eq!(one_large(before), (vec![vec![0]], None));
    }

    #[test]
    fn a_value_that_is_left_out_is_marked_as_such_and_a_large_key_never_is() {
        let mut rows = numbered(3, b"v").0;
        rows.insert(1_u32.to_be_bytes().to_vec(), vec![0; 9]);
        let omit = Selection { row_bytes_max: 12, large_rows: LargeRows::OmitValue, ..all() };
        let found = batches(Rows(rows), omit).concat();
        let outline = |row: &Row| (row.value.len(), row.omitted_value_bytes);
        assert_eq!(
            found.iter().map(outline).collect::<Vec<_>>(),
            [(1, None), (0, Some(9)), (1, None)]
        );
        let tiny = Selection { row_bytes_max: 3, large_rows: LargeRows::OmitValue, ..all() };
        assert_eq!(one_large(tiny).1.expect("it is refused").key_bytes, 4);
    }

    #[test]
    fn keys_only_leaves_values_out_and_keeps_empty_keys_and_revisions() {
        let rows =
            Rows(BTreeMap::from([(vec![], b"value".to_vec()), (vec![0], b"value".to_vec())]));
        let found = batches(rows, Selection { keys_only: true, ..all() }).concat();
        assert_eq!(found.iter().map(|row| row.key.len()).collect::<Vec<_>>(), [0, 1]);
        assert!(found.iter().all(|row| row.value.is_empty()));
        assert!(found.iter().all(|row| row.revision == Some(convert::revision(REVISION))));
    }
}
