//! What was found, in order, and how it is told.

use std::fmt::Write as _;

const INFALLIBLE: &str = "a String takes every text";

#[derive(Default)]
pub(super) struct Findings {
    text: String,
    bad: bool,
}

impl Findings {
    /// Begins a part: what follows is about `what`.
    pub(super) fn begin(&mut self, what: String) {
        writeln!(self.text, "{what}").expect(INFALLIBLE);
    }

    pub(super) fn good(&mut self, what: impl AsRef<str>) {
        writeln!(self.text, "good  {}", what.as_ref()).expect(INFALLIBLE);
    }

    pub(super) fn warn(&mut self, what: impl AsRef<str>, to_do: impl AsRef<str>) {
        self.with_advice("warn", what.as_ref(), to_do.as_ref());
    }

    pub(super) fn bad(&mut self, what: impl AsRef<str>, to_do: impl AsRef<str>) {
        self.bad = true;
        self.with_advice("bad ", what.as_ref(), to_do.as_ref());
    }

    fn with_advice(&mut self, grade: &str, what: &str, to_do: &str) {
        writeln!(self.text, "{grade}  {what}\n      {to_do}").expect(INFALLIBLE);
    }

    pub(super) fn any_bad(&self) -> bool {
        self.bad
    }

    pub(super) fn text(self) -> String {
        self.text
    }
}
