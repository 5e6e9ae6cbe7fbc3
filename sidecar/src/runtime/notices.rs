//! What a node has to tell, to whoever reads the log: once each, with what to do.

use std::collections::BTreeSet;

use outrigger_core::node::Notice;
use outrigger_core::offset::Partition;
use outrigger_core::phase::Phase;

use crate::telemetry;
use crate::words::MURMUR2;

pub(super) struct Notices {
    store: String,
    /// Partitions whose ignored records were told. Metrics count the rest.
    ignored: BTreeSet<Partition>,
}

impl Notices {
    pub(super) fn new(store: String) -> Notices {
        Notices { store, ignored: BTreeSet::new() }
    }

    pub(super) fn tell(&mut self, notice: &Notice) {
        telemetry::metrics::notice(&self.store, notice);
        let store = self.store.as_str();
        match notice {
            Notice::Phase(phase) => tell_phase(store, phase),
            Notice::StallBegan { kind, detail } => {
                tracing::warn!(
                    store,
                    stall = kind.name(),
                    detail,
                    what_to_do = kind.what_to_do(),
                    "held up"
                );
            }
            Notice::StallEnded { kind } => {
                tracing::info!(store, stall = kind.name(), "goes on");
            }
            Notice::Ignored { partition, misplaced, keyless } => {
                if self.ignored.insert(*partition) {
                    tracing::warn!(
                        store, %partition, misplaced, keyless,
                        "another tool wrote records without a key, or to another partition than their key's: \
                         missing on every node; {MURMUR2}; told once, the metrics count them"
                    );
                }
            }
            Notice::LogIncomplete { partition, log_start } => {
                tracing::error!(
                    store, %partition, %log_start,
                    "records were deleted from the start of the log: nothing can be rebuilt from it any more, \
                     the copies that exist are the only complete ones"
                );
            }
            Notice::Quarantined { generation, why } => {
                tracing::warn!(store, %generation, %why, "set aside, kept until an operator removes it");
            }
            Notice::PositionLost { partition, position } => {
                tracing::warn!(store, %partition, %position, "the log does not have this position: reading again from what is on disk");
            }
            Notice::Policy(warning) => tracing::warn!(store, "{warning}"),
            Notice::PeerFailed { detail } => {
                tracing::warn!(store, why = detail, "no peer gave a copy: on without one");
            }
        }
    }
}

fn tell_phase(store: &str, phase: &Phase) {
    match phase {
        Phase::Refused(refusal) => {
            tracing::error!(store, why = %refusal, what_to_do = refusal.what_to_do(), "REFUSED");
        }
        Phase::Restoring(cause) => tracing::info!(store, cause = cause.name(), "RESTORING"),
        Phase::Opening | Phase::CatchingUp | Phase::Ready | Phase::Stopped => {
            tracing::info!(store, "{}", phase.name());
        }
    }
}
