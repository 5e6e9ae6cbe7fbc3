//! The core of delta debugging: which of these can go?

/// Indexes out of `0..count` that have to stay. `first` is asked with several sets of indexes and takes the
/// first one that will do. Large pieces are removed first, then smaller ones, in the end single ones until
/// none of them can go.
pub(super) fn needed(
    count: usize,
    mut first: impl FnMut(&mut dyn Iterator<Item = Vec<usize>>) -> Option<usize>,
) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..count).collect();
    let mut size = count;
    while size > 0 {
        let before = kept.len();
        sweep(&mut kept, size, &mut first);
        if size > 1 || kept.len() == before {
            size /= 2;
        }
    }
    kept
}

/// Tries to remove each piece of this size once, the last one first: what comes late is rarely the cause of
/// what comes early.
fn sweep(
    kept: &mut Vec<usize>,
    size: usize,
    first: &mut impl FnMut(&mut dyn Iterator<Item = Vec<usize>>) -> Option<usize>,
) {
    let mut end = kept.len();
    while end > 0 {
        let all = kept.clone();
        let ends =
            || std::iter::successors(Some(end), |end| end.checked_sub(size)).filter(|end| *end > 0);
        let without = |end: usize| {
            let start = end.saturating_sub(size);
            [&all[..start], &all[end..]].concat()
        };
        let Some(taken) = first(&mut ends().map(without)) else {
            return;
        };
        let end_taken = ends().nth(taken).expect("one of the pieces was taken");
        *kept = without(end_taken);
        end = end_taken.saturating_sub(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what `needs` says, and counts how often it was asked.
    fn kept(count: usize, needs: impl Fn(&[usize]) -> bool) -> (Vec<usize>, usize) {
        let mut tries = 0;
        let kept = needed(count, |mut candidates| {
            Iterator::position(&mut candidates, |candidate| {
                tries += 1;
                needs(&candidate)
            })
        });
        (kept, tries)
    }

    #[test]
    fn only_what_is_needed_stays() {
        let (kept, tries) = kept(300, |of| [17, 18, 250].iter().all(|one| of.contains(one)));
        assert_eq!(kept, [17, 18, 250]);
        assert!(tries < 100, "{tries} tries");
    }

    #[test]
    fn nothing_stays_when_nothing_is_needed() {
        assert_eq!(kept(300, |_| true), (vec![], 1));
    }

    #[test]
    fn everything_stays_when_everything_is_needed() {
        let (kept, _) = kept(10, |of| of.len() == 10);
        assert_eq!(kept.len(), 10);
    }

    #[test]
    fn no_single_one_can_go_in_the_end() {
        let needs = |of: &[usize]| of.contains(&3) && of.len() % 2 == 1;
        let (kept, _) = kept(9, needs);
        assert!(needs(&kept));
        for gone in &kept {
            let without: Vec<_> = kept.iter().copied().filter(|one| one != gone).collect();
            assert!(!needs(&without), "{gone} is not needed");
        }
    }
}
