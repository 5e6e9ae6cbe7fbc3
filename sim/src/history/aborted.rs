//! O9: nothing of a transaction that was aborted, or never ended, is ever read.

use super::sighting::Sighting;
use super::timeline::Standing;
use super::{Oracle, Violation};

pub(super) fn judge(sighting: &Sighting) -> Option<Violation> {
    let (row, write) = sighting.writer()?;
    let Standing::Aborted = write.standing else { return None };
    let detail = format!("of an aborted transaction, and seen at {}", row.offset);
    let operations = sighting.operations(&[write.operation]);
    Some(Violation::new(Oracle::O9, sighting.key, operations, detail))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, row};
    use super::super::{Fate, Level, Told};
    use super::*;

    #[test]
    fn a_value_of_an_aborted_transaction_is_never_seen() {
        let aborted = || Story::default().put("k", "a", Told::Aborted);
        aborted().get("k", Level::Stale, None, 4).content(&[]).passes();
        aborted().get("k", Level::Stale, row(3, "a"), 4).fails(Oracle::O9, &[0, 1]);
        aborted().content(&[("k", 3, "a")]).fails(Oracle::O9, &[0]);
    }

    #[test]
    fn the_log_tells_of_transactions_that_no_caller_made() {
        let aborted = || Story::default().record(3, "k", Some("a"), Fate::Aborted);
        aborted().content(&[]).passes();
        aborted().get("k", Level::Latest, row(3, "a"), 4).fails(Oracle::O9, &[0]);
    }
}
