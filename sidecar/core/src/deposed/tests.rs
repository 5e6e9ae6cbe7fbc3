//! Which answers count for nothing, and what is said of them.

use super::*;
use crate::fixtures::end;

const P3: Partition = Partition(3);

#[test]
fn a_leader_before_the_newest_known_is_deposed() {
    let judged = |answered, known: Option<u32>| {
        Deposed::by_epoch(P3, &end(9, answered), known.map(Epoch)).is_some()
    };
    assert!(judged(Some(4), Some(5)));
    assert!(!judged(Some(5), Some(5)) && !judged(Some(6), Some(5)));
    assert!(!judged(None, Some(5)) && !judged(Some(4), None), "nothing to compare");
}

#[test]
fn a_leader_whose_records_were_read_cannot_end_before_them() {
    let told = Some(Epoch(5));
    let judged = |high_watermark, answered, leader| {
        Deposed::by_end(P3, &end(high_watermark, answered), Offset(7), leader).is_some()
    };
    assert!(judged(6, Some(5), told) && judged(6, Some(4), told));
    assert!(!judged(6, Some(6), told), "an election may lose records");
    assert!(!judged(7, Some(5), told) && !judged(8, Some(5), told), "it ends where the copy does");
    assert!(!judged(6, None, told) && !judged(6, Some(5), None));
}

#[test]
fn the_proof_is_told() {
    let told = |deposed: Option<Deposed>| deposed.map(|deposed| deposed.to_string());
    assert_eq!(
        told(Deposed::by_epoch(P3, &end(6, Some(4)), Some(Epoch(5)))).as_deref(),
        Some("partition 3: leader epoch 4 answers, 5 is known")
    );
    assert_eq!(
        told(Deposed::by_end(P3, &end(6, Some(4)), Offset(7), Some(Epoch(5)))).as_deref(),
        Some("partition 3: leader epoch 4 answers that the log ends at 6, and it reached 7")
    );
}
