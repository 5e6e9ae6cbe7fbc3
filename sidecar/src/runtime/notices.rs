//! What a node has to tell, to whoever reads the log: once each, with what to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use outrigger_core::node::Notice;
use outrigger_core::offset::Partition;
use outrigger_core::phase::Phase;

use super::circumstances::Told;
use super::door::Door;
use crate::telemetry;
use crate::words::MURMUR2;

pub(super) struct Notices {
    door: Arc<Door>,
    /// Partitions whose ignored records were told. Metrics count the rest.
    ignored: BTreeSet<Partition>,
    /// Whether the node drains: what is closed from now on is not opened again.
    draining: bool,
}

impl Notices {
    pub(super) fn new(door: Arc<Door>) -> Notices {
        Notices { door, ignored: BTreeSet::new(), draining: false }
    }

    pub(super) fn drains(&mut self) {
        self.draining = true;
    }

    pub(super) fn tell(&mut self, notice: &Notice) {
        let (store, circumstances) = (self.door.name.as_str(), &self.door.circumstances);
        telemetry::metrics::notice(store, notice);
        match notice {
            Notice::Phase(phase) => self.tell_phase(phase),
            Notice::StallBegan { kind, detail } => {
                let Told { detail, what_to_do } = circumstances.stall(*kind, detail);
                tracing::warn!(store, stall = kind.name(), detail, what_to_do, "held up");
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
            Notice::Policy(warning) => {
                if circumstances.warns(warning) {
                    tracing::warn!(store, "{warning}");
                }
            }
            Notice::PeerFailed { detail } => {
                circumstances.note_peers_failed(detail);
                tracing::warn!(store, why = detail, "no peer gave a copy: on without one");
            }
        }
    }

    fn tell_phase(&self, phase: &Phase) {
        let (store, circumstances) = (self.door.name.as_str(), &self.door.circumstances);
        circumstances.note_phase(phase);
        match phase {
            Phase::Refused(refusal) => {
                let Told { detail, what_to_do } = circumstances.refusal(refusal);
                tracing::error!(store, why = detail, what_to_do, "REFUSED");
            }
            Phase::Restoring(cause) => tracing::info!(store, cause = cause.name(), "RESTORING"),
            Phase::Opening if self.draining => tracing::info!(store, "closing"),
            Phase::Opening | Phase::CatchingUp | Phase::Ready | Phase::Stopped => {
                tracing::info!(store, "{}", phase.name());
            }
        }
    }
}
