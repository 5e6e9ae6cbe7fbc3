//! Small histories in few words. One partition; the times are the order of the calls.

use std::collections::BTreeMap;

use super::{
    Call, Evidence, Fate, History, Level, Loss, Operation, Oracle, Positions, Record, Row, Rows,
    Told,
};

pub(super) const P0: u32 = 0;

/// Builds a history call by call, each over before the next begins.
#[derive(Default)]
pub(super) struct Story {
    history: History,
    pub(super) evidence: Evidence,
    now: u64,
}

pub(super) fn at(offset: u64) -> Told {
    Told::Appended { partition: P0, offset }
}

pub(super) fn row(offset: u64, value: &str) -> Option<Row> {
    Some(Row { offset, value: value.into() })
}

pub(super) fn rows(rows: &[(&str, u64, &str)]) -> Rows {
    let rows = rows.iter().map(|(key, offset, value)| {
        (key.as_bytes().to_vec(), Row { offset: *offset, value: (*value).into() })
    });
    rows.collect::<BTreeMap<_, _>>()
}

impl Story {
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// The next call begins at the very time at which the last one was over.
    pub(super) fn at_once(mut self) -> Story {
        self.now -= 1;
        self
    }

    pub(super) fn tell(mut self, call: Call, told: Told) -> Story {
        let (invoked, completed) = (self.now + 1, Some(self.now + 2));
        self.now += 2;
        let operation = Operation { session: 1, node: 0, call, invoked, completed, told };
        self.history.record(operation);
        self
    }

    pub(super) fn put(self, key: &str, value: &str, told: Told) -> Story {
        self.tell(Call::Put { key: key.into(), value: value.into() }, told)
    }

    pub(super) fn delete(self, key: &str, told: Told) -> Story {
        self.tell(Call::Delete { key: key.into() }, told)
    }

    /// A get of `key` at `level`, answered from a snapshot at `position`.
    pub(super) fn get(self, key: &str, level: Level, row: Option<Row>, position: u64) -> Story {
        let positions: Positions = vec![position];
        self.tell(Call::Get { key: key.into(), level }, Told::Row { row, positions })
    }

    /// A scan of everything.
    pub(super) fn scan(self, level: Level, found: &[(&str, u64, &str)], position: u64) -> Story {
        let call = Call::Scan { start: Vec::new(), end: None, level };
        self.tell(call, Told::Rows { rows: rows(found), positions: vec![position] })
    }

    /// A call without an answer: it is concurrent with everything after it.
    pub(super) fn unanswered(mut self, call: Call) -> Story {
        self.now += 1;
        self.history.invoke(1, 0, call, self.now);
        self
    }

    pub(super) fn content(mut self, found: &[(&str, u64, &str)]) -> Story {
        self.evidence.contents.push(rows(found));
        self
    }

    pub(super) fn record(
        mut self,
        offset: u64,
        key: &str,
        value: Option<&str>,
        fate: Fate,
    ) -> Story {
        let (key, value) = (key.into(), value.map(Into::into));
        let record = Record { partition: P0, offset, key, value, fate };
        self.evidence.log.get_or_insert_default().push(record);
        self
    }

    /// The log loses everything from `from` on, and at the same moment no copy has it any more.
    pub(super) fn loss(mut self, from: u64, declared: bool) -> Story {
        self.now += 1;
        let (at, until) = (self.now, self.now);
        self.evidence.licence.losses.push(Loss { partition: P0, from, at, until, declared });
        self
    }

    pub(super) fn passes(&self) {
        assert_eq!(self.history.judge(&self.evidence), []);
    }

    /// Asserts that there is exactly one violation, by this oracle, and that it names these operations.
    pub(super) fn fails(&self, oracle: Oracle, operations: &[usize]) {
        let violations = self.history.judge(&self.evidence);
        let found: Vec<_> =
            violations.iter().map(|found| (found.oracle, &found.operations[..])).collect();
        assert_eq!(found, [(oracle, operations)], "{violations:#?}");
    }
}
