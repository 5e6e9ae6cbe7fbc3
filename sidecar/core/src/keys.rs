//! Keys as callers name them, ordered by their unsigned bytes, and the range that each name stands for.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    Key(Vec<u8>),
    Prefix(Vec<u8>),
    /// From `start` to before `end`; no `end`: all that follow.
    Range {
        start: Vec<u8>,
        end: Option<Vec<u8>>,
    },
}

/// The keys `start..end`; where `end` is none they have no bound.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    pub start: Vec<u8>,
    pub end: Option<Vec<u8>>,
}

impl Range {
    /// Every key.
    pub const ALL: Range = Range { start: Vec::new(), end: None };

    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && self.end.as_deref().is_none_or(|end| key < end)
    }
}

impl From<Keys> for Range {
    fn from(keys: Keys) -> Range {
        match keys {
            Keys::Key(key) => {
                let next = [key.as_slice(), &[0]].concat();
                Range { start: key, end: Some(next) }
            }
            Keys::Prefix(prefix) => Range { end: after_prefix(&prefix), start: prefix },
            Keys::Range { start, end } => Range { start, end },
        }
    }
}

/// The first key after all that begin with `prefix`; none where there is no such key.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}
