//! The oracles' numbers, with their classes and what they hold a run against. Plans, failures and exit codes name them by
//! number; `docs/design.md` has the same table with the files that judge.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Makes of each row a number with its class and its meaning.
macro_rules! oracles {
    ($($id:ident $class:ident $meaning:literal,)*) => {
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum OracleId {
            $($id,)*
        }

        impl OracleId {
            pub const ALL: &[OracleId] = &[$(OracleId::$id,)*];

            /// What it holds a run against, in a line.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(OracleId::$id => $meaning,)*
                }
            }

            pub fn class(self) -> Class {
                match self {
                    $(OracleId::$id => Class::$class,)*
                }
            }
        }
    };
}

// Numbers that are missing stood for what the product does not have, or has otherwise. None is given a second time.
oracles! {
    O1 Safety "no acknowledged write is lost, and no copy given up for a loss that there was not",
    O2 Safety "an operation takes effect at most once, at the offset that was acknowledged",
    O3 Safety "what \"did not happen\" never takes effect",
    O4 Safety "a copy is the fold of the committed log below its position",
    O5 Safety "whatever a crash leaves is consistent: rows and positions agree",
    O6 Safety "what reads see never goes back, and the copy in use is never deleted",
    O7 Safety "reads include their token, ages are true, a session never goes back",
    O9 Safety "nothing of an aborted or undecided transaction is visible",
    O11 Safety "READY is honest: everything is there that the log had when the restore began",
    O12 Liveness "once all is healed every node recovers, and whatever holds one up has its name",
    O13 Safety "a deleted key does not come back",
    O14 Safety "data of another topic, cluster or store is refused and left as it is",
    O15 Bound "queues, memory, retries and notices are bounded",
    O16 Panic "core does not panic",
    O17 ModelSelfCheck "the models keep their own rules",
    O18 NonDeterminism "the same plan gives the same bytes",
    O20 NonDeterminism "what a run should come across it does come across",
    O21 Safety "no record is skipped silently",
    O22 Safety "a watch is sent nothing but what its selection asks for, as the log has it, and as reads show it by then",
    O23 Safety "a watch begins, ends its state, and has its changes in order, none after a point that covers it",
    O24 Safety "no change comes twice in a watch, nor again once a point after it was used",
    O25 Safety "at every point the state and the changes of a watch are what the log says there",
    O26 Safety "a point that is older than tombstones live is answered with the state",
    O27 Liveness "whoever watches a READY node has points in time, whatever others do, and is told of a loss where there was one",
}

/// What kind of promise was broken; each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Safety,
    Liveness,
    Panic,
    Bound,
    NonDeterminism,
    ModelSelfCheck,
}

impl Class {
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Safety => 10,
            Class::Liveness => 11,
            Class::Panic => 12,
            Class::Bound => 13,
            Class::NonDeterminism => 14,
            Class::ModelSelfCheck => 15,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Class::Safety => "safety",
            Class::Liveness => "liveness",
            Class::Panic => "panic",
            Class::Bound => "bound",
            Class::NonDeterminism => "non-determinism",
            Class::ModelSelfCheck => "model self-check",
        }
    }
}

impl fmt::Display for OracleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}
