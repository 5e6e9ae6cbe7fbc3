//! O13: a deleted key does not come back: no read above `STALE` and no final copy shows a row that is not
//! newer than a delete at or below the read's position.

use super::sighting::Sighting;
use super::{Oracle, Violation};

pub(super) fn judge(sighting: &Sighting) -> Option<Violation> {
    let (row, _) = sighting.seen?;
    let (deleted, last) = sighting.snapshot?.last?;
    if last.value.is_some() || row.offset > *deleted {
        return None;
    }
    let detail = format!("deleted at {deleted}, and seen at {}", row.offset);
    let writer = sighting.writer().and_then(|(_, write)| write.operation);
    let operations = sighting.operations(&[last.operation, writer]);
    Some(Violation::new(Oracle::O13, sighting.key, operations, detail))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at, row};
    use super::super::{Fate, Level, Told};
    use super::*;

    fn deleted() -> Story {
        Story::default().put("k", "a", at(3)).delete("k", at(5))
    }

    #[test]
    fn a_deleted_key_is_in_no_read_at_or_after_its_delete() {
        for level in [Level::Local, Level::AtLeast(vec![6]), Level::Latest] {
            deleted().get("k", level.clone(), None, 6).passes();
            deleted().get("k", level.clone(), row(3, "a"), 6).fails(Oracle::O13, &[0, 1, 2]);
            deleted().scan(level, &[("k", 3, "a")], 6).fails(Oracle::O13, &[0, 1, 2]);
        }
    }

    #[test]
    fn a_read_before_the_delete_or_of_a_stale_copy_may_show_the_key() {
        deleted().get("k", Level::Local, row(3, "a"), 5).passes();
        deleted().get("k", Level::Stale, row(3, "a"), 6).passes();
    }

    #[test]
    fn a_deleted_key_is_in_no_final_copy() {
        deleted().content(&[]).passes();
        deleted().content(&[("k", 3, "a")]).fails(Oracle::O13, &[0, 1]);
        deleted().put("k", "b", at(8)).content(&[("k", 8, "b")]).passes();
    }

    #[test]
    fn a_delete_by_another_tool_counts_where_the_log_is_known() {
        let put = || {
            let put = Story::default().put("k", "a", at(3));
            put.record(3, "k", Some("a"), Fate::Committed).record(5, "k", None, Fate::Committed)
        };
        put().content(&[]).passes();
        put().content(&[("k", 3, "a")]).fails(Oracle::O13, &[0]);
    }
    #[test]
    fn a_deleted_key_has_no_row_at_the_offset_of_its_delete() {
        let unknown = Story::default().put("k", "a", Told::Unknown).delete("k", at(5));
        unknown.content(&[("k", 5, "a")]).fails(Oracle::O13, &[0, 1]);
    }

    #[test]
    fn the_last_of_several_deletes_counts() {
        let twice = deleted().put("k", "b", Told::Unknown).delete("k", at(8));
        twice.content(&[("k", 6, "b")]).fails(Oracle::O13, &[2, 3]);
    }
}
