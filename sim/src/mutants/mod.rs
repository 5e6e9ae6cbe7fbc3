//! Would the tests notice? cargo-mutants changes the code that decides, restores, classifies and admits in one place at a
//! time (`.cargo/mutants.toml`), and some test must fail.
//!
//! Core's own tests are quick and judge every mutant; scenarios, regression plans and seeds judge what survives them. What
//! was caught in a file stays caught while that file stays the same. The checkout is only read.

mod book;
mod judge;
mod score;
mod tool;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use xxhash_rust::xxh3::xxh3_128;

use book::{Book, Sums};
use judge::Judge;
use score::Score;
use tool::Tool;

use crate::cache;

/// True when every mutant is caught, does not compile, or is proven to change nothing. `arguments` are for cargo-mutants.
pub fn run(arguments: &[String]) -> Result<bool> {
    one_at_a_time(arguments)?;
    let workspace = cache::workspace()?;
    let home = cache::folder(workspace, "mutants");
    let _lock = cache::lock(&home)?;
    let tool = Tool::new(workspace, &home);
    let mut book = Book::read(&home)?;
    for judge in Judge::ALL {
        // A run that was interrupted.
        book.take(judge, &tool.verdicts(judge)?);
    }
    for judge in Judge::ALL {
        try_all(&tool, &mut book, judge, arguments)?;
    }
    let score = score(&tool, &book)?;
    print!("{score}");
    if !score.left.is_empty() {
        eprintln!("write a test, or a proof into .cargo/mutants.toml:\n{}", score.left.join("\n"));
    }
    Ok(score.left.is_empty())
}

/// They are built in one folder: two at the same time get each other's verdicts.
fn one_at_a_time(arguments: &[String]) -> Result<()> {
    for argument in arguments {
        ensure!(
            !argument.starts_with("-j") && !argument.starts_with("--jobs"),
            "mutants are judged one at a time: leave out {argument}"
        );
    }
    Ok(())
}

/// What is judged is written down at once: an interruption loses nothing.
fn try_all(tool: &Tool, book: &mut Book, judge: Judge, arguments: &[String]) -> Result<()> {
    tool.pass_without_mutants(judge)?;
    let sums = sums(tool, arguments)?;
    let known: Vec<&str> = book.known(&sums).into_keys().collect();
    tool.prepare(judge, &known)?;
    book.begin(judge, sums)?;
    let ended = tool.judge(judge, arguments);
    book.take(judge, &tool.verdicts(judge)?);
    book.write()?;
    ended
}

/// Of the files that are examined, and of those that the arguments pick.
fn sums(tool: &Tool, arguments: &[String]) -> Result<Sums> {
    let mut files: BTreeSet<String> = tool.list(&["--list-files"], &[])?.into_iter().collect();
    files.extend(tool.list(&["--list-files"], arguments)?);
    let mut sums = Sums::new();
    for file in files {
        let text = fs::read(cache::workspace()?.join(&file))?;
        sums.insert(file, format!("{:032x}", xxh3_128(&text)));
    }
    Ok(sums)
}

fn score(tool: &Tool, book: &Book) -> Result<Score> {
    let listed = tool.list(&["--list"], &[])?.into_iter().collect();
    let known = book.known(&sums(tool, &[])?);
    Ok(Score::of(tool.count_with_proven()?, &listed, &known))
}

#[cfg(test)]
mod tests {
    use super::one_at_a_time;

    #[test]
    fn no_two_mutants_are_judged_at_the_same_time() {
        let asked = |text: &str| {
            let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            one_at_a_time(&arguments)
        };
        asked("--re decide -f sidecar/core/src/gate.rs").unwrap();
        for jobs in ["-j2", "-j 2", "--jobs=2", "--re x --jobs 2"] {
            let told = asked(jobs).unwrap_err().to_string();
            assert!(told.contains("one at a time: leave out -"), "{told}");
        }
    }
}
