//! Whose tests a mutant meets, and what becomes of it.

use serde::{Deserialize, Serialize};

/// In the order in which they judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Judge {
    /// Core's own tests.
    Core,
    /// Scenarios, regression plans and seeds.
    Sim,
}

impl Judge {
    pub(super) const ALL: [Judge; 2] = [Judge::Core, Judge::Sim];

    pub(super) fn name(self) -> &'static str {
        match self {
            Judge::Core => "core",
            Judge::Sim => "sim",
        }
    }

    pub(super) fn package(self) -> &'static str {
        match self {
            Judge::Core => "outrigger-core",
            Judge::Sim => "outrigger-sim",
        }
    }

    /// Which of the package's tests: the argument of `cargo test`.
    pub(super) fn tests(self) -> &'static str {
        match self {
            Judge::Core => "--lib",
            Judge::Sim => "--test=it",
        }
    }
}

/// A mutant that survives has none: the next test may catch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Caught,
    /// The tests do not end, which is noticed too.
    Endless,
    /// It does not compile.
    Unviable,
}

impl Verdict {
    pub(super) const ALL: [Verdict; 3] = [Verdict::Caught, Verdict::Endless, Verdict::Unviable];

    /// cargo-mutants lists such mutants here.
    pub(super) fn file(self) -> &'static str {
        match self {
            Verdict::Caught => "caught.txt",
            Verdict::Endless => "timeout.txt",
            Verdict::Unviable => "unviable.txt",
        }
    }
}
