//! What became of each canary of the shell, for people.

use super::{Tried, Verdict};

/// One line, as soon as it is known.
pub(super) fn line(tried: &Tried) -> String {
    let Tried { canary, verdict, took } = tried;
    let (name, test, seconds) = (&canary.name, &canary.test, took.as_secs());
    match verdict {
        Verdict::Caught => format!("{name}: {test}, {seconds} s"),
        Verdict::Mistaken => {
            format!("{name}: {test} fails, but not with `{}`, {seconds} s", canary.message)
        }
        Verdict::Survived => format!("{name}: NOT CAUGHT by {test}, {seconds} s"),
        Verdict::Broken(why) => format!("{name}: BROKEN: {why}"),
    }
}

pub(super) fn print(tried: &[Tried]) {
    let widest = tried.iter().map(|tried| tried.canary.name.len()).max().unwrap_or(0);
    println!("\n{:widest$}  {:>4}  caught by", "canary", "s");
    for Tried { canary, verdict, took } in tried {
        let by = match verdict {
            Verdict::Caught => canary.test.to_string(),
            Verdict::Mistaken => format!("{}, for another reason (!)", canary.test),
            Verdict::Survived => "nobody (!)".to_owned(),
            Verdict::Broken(_) => "broken (!)".to_owned(),
        };
        println!("{:widest$}  {:>4}  {by}", canary.name, took.as_secs());
    }
    let caught = tried.iter().filter(|tried| tried.verdict == Verdict::Caught).count();
    println!("{caught} of {} caught by their test", tried.len());
}
