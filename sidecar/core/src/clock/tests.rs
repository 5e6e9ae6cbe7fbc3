use super::*;

/// A clock that was looked at at these seconds, monotonic and wall.
fn clock(looks: &[(u64, u64)]) -> Clock {
    let mut looks = looks
        .iter()
        .map(|(mono, wall)| Now { mono: Duration::from_secs(*mono), wall_ms: wall * 1_000 });
    let mut clock = Clock::new(looks.next().unwrap());
    for now in looks {
        clock.observe(now);
    }
    clock
}

fn age(clock: &Clock, wall: u64) -> i64 {
    clock.age_ms(wall * 1_000, None) / 1_000
}

#[test]
fn a_clock_that_nobody_sets_dates_as_it_shows() {
    let clock = clock(&[(100, 5_000), (160, 5_060)]);
    let ages = [4_000, 5_000, 5_059, 5_060, 5_065, 5_066].map(|wall| age(&clock, wall));
    assert_eq!(ages, [1_060, 60, 1, 0, -5, -6]);
}

#[test]
fn a_clock_that_is_set_forward_is_believed() {
    let clock = clock(&[(100, 5_000), (110, 5_010), (120, 9_000)]);
    let ages = [4_000, 5_000, 6_000, 9_000].map(|wall| age(&clock, wall));
    assert_eq!(ages, [5_000, 4_000, 3_000, 0]);
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_younger() {
    let clock = clock(&[(100, 5_000), (200, 5_100), (300, 4_700), (400, 4_800)]);
    // The first two dates were shown since, the next three before, and the last one before the process.
    let ages = [4_800, 4_750, 5_100, 5_050, 5_000, 4_000].map(|wall| age(&clock, wall));
    assert_eq!(ages, [0, 50, 200, 250, 300, 1_300]);
    assert_eq!(age(&clock, 5_306), -6, "neither shown nor to be expected by then");
}

/// Dates that it showed twice are of the first time.
#[test]
fn what_a_clock_shows_again_is_as_old_as_when_it_showed_it_first() {
    let clock = clock(&[(100, 5_000), (200, 5_100), (201, 5_041), (300, 5_140)]);
    let ages = [5_050, 5_099, 5_120, 5_140].map(|wall| age(&clock, wall));
    assert_eq!(ages, [150, 101, 20, 0]);
}

#[test]
fn a_clock_that_was_ahead_and_is_set_right_dates_what_it_showed_of_both() {
    let hours = 36_000;
    let clock = clock(&[(0, 100 + hours), (50, 150 + hours), (51, 151), (90, 190)]);
    let ages = [110 + hours, 150 + hours, 151, 180, 190].map(|wall| age(&clock, wall));
    assert_eq!(ages, [80, 40, 39, 10, 0]);
}

#[test]
fn a_clock_that_was_ahead_for_a_time_dates_what_it_showed_before_and_after() {
    let hours = 36_000;
    let clock =
        clock(&[(0, 100), (50, 150), (51, 151 + hours), (54, 154 + hours), (55, 155), (90, 190)]);
    let ages = [155, 180, 190].map(|wall| age(&clock, wall));
    assert_eq!(ages, [35, 10, 0]);
    // Both clocks agree as before: only what was shown between was wrong.
    let ages = [100, 150, 151 + hours, 154 + hours].map(|wall| age(&clock, wall));
    assert_eq!(ages, [90, 40, 39, 36]);
}

#[test]
fn dates_that_no_clock_shows_are_borne() {
    let mut clock = Clock::new(Now { mono: Duration::MAX, wall_ms: u64::MAX });
    clock.observe(Now { mono: Duration::MAX, wall_ms: 0 });
    for wall_ms in [0, 1, u64::MAX / 2, u64::MAX] {
        let moment = clock.now().before(clock.age_ms(wall_ms, Some(clock.now())));
        assert!(clock.now().since(moment) >= Duration::ZERO);
    }
    assert!(Clock::new(Now { mono: Duration::ZERO, wall_ms: 0 }).age_ms(u64::MAX, None) < 0);
}

/// A process may be younger than what it finds.
#[test]
fn what_is_older_than_the_monotonic_clock_keeps_its_age() {
    let mut clock = clock(&[(3, 50_000)]);
    let old = clock.now().before(clock.age_ms(40_000_000, None));
    assert_eq!(clock.now().since(old).as_secs(), 10_000);
    clock.observe(Now { mono: Duration::from_secs(8), wall_ms: 50_005_000 });
    assert_eq!(clock.now().since(old).as_secs(), 10_005);
}

#[test]
fn of_a_clock_that_is_set_to_and_fro_a_bounded_part_is_remembered() {
    let looks: Vec<_> = (0..1_000).map(|n| (n, 50_000 + n - 1_000 * (n % 2))).collect();
    let clock = clock(&looks);
    assert_eq!(clock.eras.len(), ERAS_MAX);
    assert_eq!(age(&clock, 50_999 - 1_000), 0);
}

#[test]
fn clocks_that_are_not_read_at_one_moment_make_no_eras() {
    let mut clock = Clock::new(Now { mono: Duration::ZERO, wall_ms: 1_000 });
    for n in 1..10_000_u64 {
        let mono = Duration::from_micros(700 * n);
        clock.observe(Now { mono, wall_ms: 1_000 + 7 * n / 10 + 90 * (n % 2) });
    }
    assert_eq!(clock.eras.len(), 1);
    let age_ms = clock.age_ms(1_000, None);
    assert!((6_900..7_100).contains(&age_ms), "{age_ms}");
}

#[test]
fn the_time_between_two_moments_is_what_the_clock_says_that_is_further() {
    let mut clock = clock(&[(100, 5_000)]);
    let mut at = |mono, wall: u64| {
        clock.observe(Now { mono: Duration::from_secs(mono), wall_ms: wall * 1_000 });
        clock.now()
    };
    let (first, back, forward) = (at(110, 5_010), at(120, 4_000), at(130, 6_000));
    assert_eq!(back.since(first).as_secs(), 10);
    assert_eq!(forward.since(back).as_secs(), 980);
    assert_eq!(first.since(forward), Duration::ZERO);
}
