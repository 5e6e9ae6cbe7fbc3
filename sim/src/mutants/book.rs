//! The verdicts of all runs, each for its file as it was then. Where a file is again what it was, they hold again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::judge::{Judge, Verdict};

/// The checksum of each file.
pub(super) type Sums = BTreeMap<String, String>;

#[derive(Debug)]
pub(super) struct Book {
    path: PathBuf,
    pages: Pages,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Pages {
    /// The files as each judge's last run found them. What an interrupted run leaves is of these.
    begun: BTreeMap<Judge, Sums>,
    judged: BTreeSet<Judged>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Judged {
    /// As cargo-mutants calls it: `path:line:column: what is changed`.
    mutant: String,
    /// Of its file.
    sum: String,
    pub(super) judge: Judge,
    pub(super) verdict: Verdict,
}

impl Book {
    pub(super) fn read(folder: &Path) -> Result<Book> {
        let path = folder.join("verdicts.json");
        let pages = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!("{} cannot be read; without it all are judged anew", path.display())
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Pages::default(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Book { path, pages })
    }

    /// The old book or the new one is there, never half of one.
    pub(super) fn write(&self) -> Result<()> {
        let fresh = self.path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec_pretty(&self.pages)?)?;
        fs::rename(&fresh, &self.path).with_context(|| self.path.display().to_string())
    }

    /// From now on this judge's verdicts are of these files.
    pub(super) fn begin(&mut self, judge: Judge, sums: Sums) -> Result<()> {
        self.pages.begun.insert(judge, sums);
        self.write()
    }

    /// Adds what the judge's last run found. Verdicts on files that were not looked at before it are worth nothing.
    pub(super) fn take(&mut self, judge: Judge, verdicts: &[(Verdict, String)]) {
        let Some(sums) = self.pages.begun.get(&judge) else {
            return;
        };
        for (verdict, mutant) in verdicts {
            if let Some(sum) = sums.get(file_of(mutant)) {
                let (mutant, sum) = (mutant.clone(), sum.clone());
                self.pages.judged.insert(Judged { mutant, sum, judge, verdict: *verdict });
            }
        }
    }

    /// The mutants that are judged in these files as they are.
    pub(super) fn known(&self, sums: &Sums) -> BTreeMap<&str, &Judged> {
        let holds = |judged: &&Judged| sums.get(file_of(&judged.mutant)) == Some(&judged.sum);
        let known = self.pages.judged.iter().filter(holds);
        known.map(|judged| (judged.mutant.as_str(), judged)).collect()
    }
}

fn file_of(mutant: &str) -> &str {
    mutant.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const CAUGHT: &str = "core/gate.rs:7:5: replace admits -> bool with true";
    const ENDLESS: &str = "core/read.rs:9:1: replace > with < in until";

    fn sums(gate: &str, read: &str) -> Sums {
        let of = |(file, sum): (&str, &str)| (file.to_owned(), sum.to_owned());
        [("core/gate.rs", gate), ("core/read.rs", read)].map(of).into()
    }

    fn verdicts() -> Vec<(Verdict, String)> {
        vec![(Verdict::Caught, CAUGHT.to_owned()), (Verdict::Endless, ENDLESS.to_owned())]
    }

    fn known(book: &Book, sums: &Sums) -> Vec<String> {
        book.known(sums).into_keys().map(str::to_owned).collect()
    }

    #[test]
    fn a_verdict_holds_while_its_file_is_the_same() {
        let dir = TempDir::new().unwrap();
        let mut book = Book::read(dir.path()).unwrap();
        book.begin(Judge::Core, sums("a", "b")).unwrap();
        book.take(Judge::Core, &verdicts());
        book.write().unwrap();
        let book = Book::read(dir.path()).unwrap();
        assert_eq!(known(&book, &sums("a", "b")), [CAUGHT, ENDLESS]);
        assert_eq!(known(&book, &sums("changed", "b")), [ENDLESS]);
        assert_eq!(known(&book, &Sums::new()), [""; 0]);
    }

    #[test]
    fn a_file_that_is_again_what_it_was_has_its_verdicts_again() {
        let dir = TempDir::new().unwrap();
        let mut book = Book::read(dir.path()).unwrap();
        for gate in ["a", "changed"] {
            book.begin(Judge::Sim, sums(gate, "b")).unwrap();
            book.take(Judge::Sim, &verdicts()[..1]);
        }
        for gate in ["a", "changed"] {
            assert_eq!(known(&book, &sums(gate, "b")), [CAUGHT]);
        }
    }

    #[test]
    fn what_an_interrupted_run_left_is_of_the_files_as_they_were_when_it_began() {
        let dir = TempDir::new().unwrap();
        let mut interrupted = Book::read(dir.path()).unwrap();
        interrupted.begin(Judge::Core, sums("a", "b")).unwrap();
        drop(interrupted);
        // Meanwhile the gate was changed.
        let mut book = Book::read(dir.path()).unwrap();
        book.take(Judge::Core, &verdicts());
        assert_eq!(known(&book, &sums("changed", "b")), [ENDLESS]);
    }

    #[test]
    fn verdicts_on_files_that_nobody_looked_at_are_not_taken() {
        let dir = TempDir::new().unwrap();
        let mut book = Book::read(dir.path()).unwrap();
        book.take(Judge::Core, &verdicts());
        assert_eq!(known(&book, &sums("a", "b")), [""; 0]);
        fs::write(dir.path().join("verdicts.json"), "{").unwrap();
        let told = format!("{:#}", Book::read(dir.path()).unwrap_err());
        assert!(told.contains("all are judged anew"), "{told}");
    }
}
