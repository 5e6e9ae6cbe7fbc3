//! What clients were told, against what a copy holds in the end.
//!
//! Needs no look inside: tests on real processes judge with it too. Each operation writes a value that no
//! other one writes, so a row names the operation that wrote it.

use std::collections::BTreeMap;

/// One put (with value) or delete (without) and what its caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub value: Option<Vec<u8>>,
    pub told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Acknowledged with this offset (in the key's partition).
    Offset(u64),
    Unknown,
    DidNotHappen,
}

#[derive(Clone, Debug, Default)]
pub struct History {
    keys: BTreeMap<Vec<u8>, Vec<Operation>>,
}

/// A row as a copy serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub offset: u64,
    pub value: Vec<u8>,
}

impl History {
    pub fn record(&mut self, key: &[u8], operation: Operation) {
        self.keys.entry(key.to_vec()).or_default().push(operation);
    }

    pub fn operations(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    /// Every way in which the rows of a copy that has read everything contradict what callers were told:
    /// an acknowledged write is there or was superseded by a later one of its key (O1), one that "did not
    /// happen" is nowhere (O3), a deleted key stays deleted (O13), and nothing is there that nobody wrote.
    pub fn violations(&self, rows: &BTreeMap<Vec<u8>, Row>) -> Vec<String> {
        let strangers = rows.keys().filter(|key| !self.keys.contains_key(*key));
        let strangers = strangers.map(|key| format!("{}: nobody wrote it", show(key)));
        let judged = self.keys.iter().filter_map(|(key, operations)| {
            judge(operations, rows.get(key)).err().map(|why| format!("{}: {why}", show(key)))
        });
        strangers.chain(judged).collect()
    }
}

fn judge(operations: &[Operation], row: Option<&Row>) -> Result<(), String> {
    let acknowledged = operations.iter().filter_map(|operation| match operation.told {
        Told::Offset(offset) => Some((offset, operation)),
        Told::Unknown | Told::DidNotHappen => None,
    });
    let last = acknowledged.max_by_key(|(offset, _)| *offset);
    let mut unknown = operations.iter().filter(|operation| operation.told == Told::Unknown);
    match (row, last) {
        (None, None) => Ok(()),
        (None, Some((_, last))) if last.value.is_none() => Ok(()),
        (None, Some((offset, _))) => match unknown.any(|operation| operation.value.is_none()) {
            true => Ok(()),
            false => Err(format!("the put acknowledged at {offset} is gone")),
        },
        (Some(row), Some((offset, _))) if row.offset < offset => {
            Err(format!("holds offset {}, although {offset} was acknowledged", row.offset))
        }
        (Some(row), Some((offset, last))) if row.offset == offset => match last.value.as_ref() {
            Some(value) if *value == row.value => Ok(()),
            Some(_) => Err(format!("another value than the one acknowledged at {offset}")),
            None => Err(format!("deleted at {offset}, yet there")),
        },
        (Some(row), _) => {
            match unknown.any(|operation| operation.value.as_ref() == Some(&row.value)) {
                true => Ok(()),
                false => Err(format!(
                    "offset {} holds what no write of unknown outcome wrote",
                    row.offset
                )),
            }
        }
    }
}

fn show(key: &[u8]) -> String {
    format!("key {:?}", String::from_utf8_lossy(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(value: &str, told: Told) -> Operation {
        Operation { value: Some(value.into()), told }
    }

    fn delete(told: Told) -> Operation {
        Operation { value: None, told }
    }

    fn judged(operations: &[Operation], row: Option<(u64, &str)>) -> bool {
        let row = row.map(|(offset, value)| Row { offset, value: value.into() });
        judge(operations, row.as_ref()).is_ok()
    }

    #[test]
    fn an_acknowledged_put_is_there_or_superseded() {
        let history = [put("a", Told::Offset(3))];
        assert!(judged(&history, Some((3, "a"))));
        assert!(!judged(&history, None));
        assert!(!judged(&history, Some((3, "b"))));
        assert!(!judged(&history, Some((2, "a"))));
        assert!(judged(&[put("a", Told::Offset(3)), put("b", Told::Unknown)], Some((9, "b"))));
        assert!(!judged(
            &[put("a", Told::Offset(3)), put("b", Told::DidNotHappen)],
            Some((9, "b"))
        ));
    }

    #[test]
    fn a_deleted_key_stays_deleted() {
        let history = [put("a", Told::Offset(3)), delete(Told::Offset(5))];
        assert!(judged(&history, None));
        assert!(!judged(&history, Some((3, "a"))));
        assert!(!judged(&history, Some((5, "a"))));
    }

    #[test]
    fn an_unknown_delete_may_have_happened() {
        let history = [put("a", Told::Offset(3)), delete(Told::Unknown)];
        assert!(judged(&history, None));
        assert!(judged(&history, Some((3, "a"))));
    }

    #[test]
    fn a_row_nobody_wrote_is_a_violation() {
        let rows = BTreeMap::from([(b"x".to_vec(), Row { offset: 0, value: Vec::new() })]);
        assert_eq!(History::default().violations(&rows).len(), 1);
    }
}
