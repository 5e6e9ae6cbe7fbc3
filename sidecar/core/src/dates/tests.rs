use super::*;
use crate::fixtures::{G1, G2, P0, intact};
use crate::lineage::Lineage;

const MARGIN_MS: u64 = 5_000;

fn dates(looks: &[(u64, u64)]) -> Dates {
    let mut looks = looks
        .iter()
        .map(|(mono, wall)| Now { mono: Duration::from_secs(*mono), wall_ms: wall * 1_000 });
    let mut dates = Dates::new(looks.next().unwrap());
    for now in looks {
        dates.observe(now);
    }
    dates
}

fn found(generation: Generation, confirmed: u64) -> FoundGeneration {
    intact(generation, [Lineage::empty(confirmed * 1_000, 1_000)]).expect("a copy")
}

fn age(dates: &Dates, generation: Generation, confirmed: u64) -> Option<u64> {
    let age = dates.age(generation, P0, confirmed * 1_000, MARGIN_MS);
    age.map(|age| age.as_secs())
}

#[test]
fn a_confirmation_from_the_future_is_of_now_within_the_margin_and_proves_nothing_beyond() {
    let dates = dates(&[(100, 5_000), (110, 5_010)]);
    let ages = [4_000, 5_010, 5_015, 5_016].map(|confirmed| age(&dates, G1, confirmed));
    assert_eq!(ages, [Some(1_010), Some(0), Some(0), None]);
}

/// A copy of a clock that is ahead, or found by one that is behind, is not trusted a while later.
#[test]
fn a_confirmation_is_no_younger_than_this_process_has_known_it_for() {
    let mut dates = dates(&[(100, 5_000)]);
    dates.meet(&found(G1, 5_100));
    assert_eq!(age(&dates, G1, 5_100), None);
    dates.observe(Now { mono: Duration::from_secs(200), wall_ms: 5_100_000 });
    dates.meet(&found(G1, 5_100));
    assert_eq!(age(&dates, G1, 5_100), None, "known for 100 s");
    assert_eq!(age(&dates, G1, 5_099), Some(1), "another date");
    assert_eq!(age(&dates, G2, 5_100), Some(0), "another copy");
    // Its clock was behind, and is set right.
    dates.observe(Now { mono: Duration::from_secs(201), wall_ms: 5_196_000 });
    assert_eq!(age(&dates, G1, 5_100), Some(96));
    dates.forget(G1);
    assert_eq!(dates.met.len(), 0);
}

/// Otherwise a node whose clock was set back would take what it has just written for what it wrote before.
#[test]
fn what_this_process_began_is_no_older_than_that() {
    let mut dates = dates(&[(100, 5_000), (200, 5_100), (201, 5_000), (240, 5_039)]);
    assert_eq!([age(&dates, G1, 5_030), age(&dates, G2, 5_030)], [Some(110); 2]);
    dates.begin(G2, dates.moment(G1, 5_100_000));
    assert_eq!([age(&dates, G1, 5_030), age(&dates, G2, 5_030)], [Some(110), Some(9)]);
    assert_eq!(dates.now().since(dates.moment(G2, 5_030_000)).as_secs(), 9);
}
