//! O3: what "did not happen" is nowhere: in no read, in no final copy, and not in the log.

use std::collections::BTreeSet;

use super::evidence::{Evidence, Fate, Record};
use super::operation::Told;
use super::sighting::Sighting;
use super::timeline::Standing;
use super::{History, Oracle, Violation};

pub(super) fn judge(sighting: &Sighting) -> Option<Violation> {
    let (row, write) = sighting.writer()?;
    let Standing::Never = write.standing else { return None };
    let detail = format!("did not happen, and seen at {}", row.offset);
    let operations = sighting.operations(&[write.operation]);
    Some(Violation::new(Oracle::O3, sighting.key, operations, detail))
}

pub(super) fn judge_log(history: &History, evidence: &Evidence) -> Vec<Violation> {
    let happened = |record: &&Record| match record.fate {
        Fate::Committed | Fate::Lost => true,
        Fate::Aborted => false,
    };
    let records = evidence.log.iter().flatten().filter(happened);
    let written: BTreeSet<(&[u8], &[u8])> =
        records.filter_map(|record| Some((&record.key[..], record.value.as_deref()?))).collect();
    let refused = history.operations.iter().enumerate().filter_map(|(index, operation)| {
        let (key, value) = operation.call.write()?;
        let happened = operation.told == Told::DidNotHappen && written.contains(&(key, value?));
        let detail = "did not happen, and the log has it".to_owned();
        happened.then(|| Violation::new(Oracle::O3, key, vec![index], detail))
    });
    refused.collect()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{Story, row};
    use super::*;

    fn refused() -> Story {
        Story::default().put("k", "a", Told::DidNotHappen)
    }

    #[test]
    fn what_did_not_happen_is_in_no_read_and_no_copy() {
        refused().get("k", Level::Stale, None, 4).content(&[]).passes();
        refused().get("k", Level::Stale, row(3, "a"), 4).fails(Oracle::O3, &[0, 1]);
        refused().scan(Level::Stale, &[("k", 3, "a")], 4).fails(Oracle::O3, &[0, 1]);
        refused().content(&[("k", 3, "a")]).fails(Oracle::O3, &[0]);
    }

    #[test]
    fn what_did_not_happen_is_not_in_the_log() {
        refused().record(3, "k", Some("a"), Fate::Committed).fails(Oracle::O3, &[0]);
        refused().record(3, "k", Some("a"), Fate::Lost).fails(Oracle::O3, &[0]);
        refused().record(3, "k", Some("a"), Fate::Aborted).passes();
        refused().record(3, "k", Some("b"), Fate::Committed).passes();
    }

    #[test]
    fn what_may_have_happened_may_be_anywhere() {
        let unknown = Story::default().put("k", "a", Told::Unknown);
        let read = unknown.get("k", Level::Local, row(3, "a"), 4);
        read.record(3, "k", Some("a"), Fate::Committed).content(&[("k", 3, "a")]).passes();
    }
}
