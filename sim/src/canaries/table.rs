//! What became of each canary, for people.

use super::{Tried, Verdict};

/// One line, as soon as it is known.
pub(super) fn line(tried: &Tried) -> String {
    let Tried { canary, verdict, took } = tried;
    let seconds = took.as_secs();
    let name = &canary.name;
    match verdict {
        Verdict::Caught { oracle, seed } => format!("{name}: {oracle} at seed {seed}, {seconds} s"),
        Verdict::Mistaken { oracle, seed } => {
            let expected = canary.oracles.join(" or ");
            format!("{name}: {oracle} at seed {seed}, not {expected}, {seconds} s")
        }
        Verdict::Survived => format!("{name}: NOT CAUGHT in {} seeds, {seconds} s", canary.seeds),
        Verdict::Broken(why) => format!("{name}: BROKEN: {why}"),
    }
}

pub(super) fn print(tried: &[Tried]) {
    let widest = tried.iter().map(|tried| tried.canary.name.len()).max().unwrap_or(0);
    println!(
        "\n{:widest$}  {:12}  {:10}  {:>7}  {:>5}  {:>4}",
        "canary", "oracle", "found by", "at seed", "of", "s"
    );
    for Tried { canary, verdict, took } in tried {
        let (by, at) = match verdict {
            Verdict::Caught { oracle, seed } => (oracle.clone(), seed.to_string()),
            Verdict::Mistaken { oracle, seed } => (format!("{oracle} (!)"), seed.to_string()),
            Verdict::Survived => ("nobody (!)".to_owned(), String::new()),
            Verdict::Broken(_) => ("broken (!)".to_owned(), String::new()),
        };
        let (name, expected) = (&canary.name, canary.oracles.join(" or "));
        let (seeds, seconds) = (canary.seeds, took.as_secs());
        println!("{name:widest$}  {expected:12}  {by:10}  {at:>7}  {seeds:>5}  {seconds:>4}");
    }
    let caught = tried.iter().filter(|tried| matches!(tried.verdict, Verdict::Caught { .. }));
    println!("{} of {} caught by the right oracle", caught.count(), tried.len());
}
