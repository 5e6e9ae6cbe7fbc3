//! What became of all mutants, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::book::Judged;
use super::judge::{Judge, Verdict};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Score {
    /// Those that are proven to change nothing, too.
    all: usize,
    unviable: usize,
    proven: usize,
    caught_by_core: usize,
    caught_by_sim: usize,
    endless: usize,
    /// They survive, or were not tried.
    pub(super) left: Vec<String>,
}

impl Score {
    /// Of `all` mutants those that are `listed` are to be caught: the others are proven to change nothing.
    pub(super) fn of(
        all: usize,
        listed: &BTreeSet<String>,
        known: &BTreeMap<&str, &Judged>,
    ) -> Score {
        let judged: Vec<&Judged> =
            listed.iter().filter_map(|mutant| known.get(mutant.as_str()).copied()).collect();
        let count = |is: fn(Judge, Verdict) -> bool| {
            judged.iter().filter(|judged| is(judged.judge, judged.verdict)).count()
        };
        Score {
            all,
            unviable: count(|_, verdict| verdict == Verdict::Unviable),
            proven: all.saturating_sub(listed.len()),
            caught_by_core: count(|judge, verdict| {
                (judge, verdict) == (Judge::Core, Verdict::Caught)
            }),
            caught_by_sim: count(|judge, verdict| {
                (judge, verdict) == (Judge::Sim, Verdict::Caught)
            }),
            endless: count(|_, verdict| verdict == Verdict::Endless),
            left: listed
                .iter()
                .filter(|each| !known.contains_key(each.as_str()))
                .cloned()
                .collect(),
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = [
            (self.all, "mutants in all"),
            (self.unviable, "do not compile"),
            (self.proven, "proven equivalent (.cargo/mutants.toml)"),
            (self.caught_by_core, "caught by core's own tests"),
            (self.caught_by_sim, "caught by scenarios, regression plans and seeds"),
            (self.endless, "never end, which is noticed too"),
            (self.left.len(), "survive or were not tried"),
        ];
        lines.iter().try_for_each(|(count, what)| writeln!(f, "{count:5}  {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::book::Book;
    use super::super::book::Sums;
    use super::*;

    #[test]
    fn each_mutant_is_counted_once_and_survivors_are_named() {
        let dir = tempfile::TempDir::new().unwrap();
        let mutant = |number: usize| format!("gate.rs:{number}:1: replace");
        let sums = Sums::from([("gate.rs".to_owned(), "a".to_owned())]);
        let mut book = Book::read(dir.path()).unwrap();
        let core = [Verdict::Caught, Verdict::Caught, Verdict::Unviable, Verdict::Endless];
        book.begin(Judge::Core, sums.clone()).unwrap();
        book.take(Judge::Core, &core.into_iter().zip((1..).map(mutant)).collect::<Vec<_>>());
        book.begin(Judge::Sim, sums.clone()).unwrap();
        // The last one is not listed any more: it is proven now.
        book.take(Judge::Sim, &[(Verdict::Caught, mutant(5)), (Verdict::Caught, mutant(9))]);
        let listed = (1..=7).map(mutant).collect();
        let score = Score::of(8, &listed, &book.known(&sums));
        assert_eq!(
            score.to_string(),
            "    8  mutants in all
    1  do not compile
    1  proven equivalent (.cargo/mutants.toml)
    2  caught by core's own tests
    1  caught by scenarios, regression plans and seeds
    1  never end, which is noticed too
    2  survive or were not tried
"
        );
        assert_eq!(score.left, [mutant(6), mutant(7)]);
    }
}
