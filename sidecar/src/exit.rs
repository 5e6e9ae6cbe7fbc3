//! How the process ends: every exit code, its name and its promise, in one place.
//!
//! The numbers are those of `sysexits.h` where one fits. They are a contract: scripts and service
//! managers decide by them whether to try again. `--help` prints this table and `docs/operating.md` repeats it.

use std::fmt::Write as _;
use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Success,
    Negative,
    Usage,
    Refused,
    Unavailable,
    Internal,
    DataDirectory,
    InputOutput,
    TryAgain,
    Unknown,
    Forbidden,
    Config,
    /// The code of the command that `watch --exec` ran.
    Command(u8),
}

impl Exit {
    /// Those that are Outrigger's own.
    pub const ALL: [Exit; 12] = [
        Exit::Success,
        Exit::Negative,
        Exit::Usage,
        Exit::Refused,
        Exit::Unavailable,
        Exit::Internal,
        Exit::DataDirectory,
        Exit::InputOutput,
        Exit::TryAgain,
        Exit::Unknown,
        Exit::Forbidden,
        Exit::Config,
    ];

    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Negative => 1,
            Exit::Usage => 64,
            Exit::Refused => 65,
            Exit::Unavailable => 69,
            Exit::Internal => 70,
            Exit::DataDirectory => 73,
            Exit::InputOutput => 74,
            Exit::TryAgain => 75,
            Exit::Unknown => 76,
            Exit::Forbidden => 77,
            Exit::Config => 78,
            Exit::Command(code) => code,
        }
    }

    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Success => "done, or told what --yes would do",
            Exit::Negative => {
                "the answer is no: the key does not exist, the copies differ, the doctor found something bad"
            }
            Exit::Usage => "wrong command line",
            Exit::Refused => "the request is wrong, or the store refuses until a person decides",
            Exit::Unavailable => "an address cannot be listened on, or no server answers there",
            Exit::Internal => "a defect of Outrigger, please report it",
            Exit::DataDirectory => "the data directory cannot be used, or another process uses it",
            Exit::InputOutput => "reading or writing failed, here or on the node's disk",
            Exit::TryAgain => "not now: nothing was written, the same command may be repeated",
            Exit::Unknown => "not known whether a write happened: read before writing again",
            Exit::Forbidden => {
                "Kafka, the operating system or the node's rules of access do not allow it"
            }
            Exit::Config => "wrong configuration: nothing was opened",
            Exit::Command(_) => "what the command says that `watch --exec` runs",
        }
    }

    /// Returns the table for `--help`.
    pub fn table() -> String {
        let mut table = String::from("Exit codes:\n");
        for exit in Exit::ALL {
            writeln!(table, "  {:>2}  {}", exit.code(), exit.meaning())
                .expect("a String takes every text");
        }
        table
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_ascend_in_the_table() {
        let codes: Vec<u8> = Exit::ALL.into_iter().map(Exit::code).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
    }

    #[test]
    fn the_table_names_every_code() {
        let table = Exit::table();
        for exit in Exit::ALL {
            assert!(table.contains(&format!("{:>2}  {}", exit.code(), exit.meaning())), "{table}");
        }
    }
}
