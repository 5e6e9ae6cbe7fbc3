//! How a status is shown, whoever shows it: the names of the protocol, without what they begin with.

pub(crate) mod json;

use outrigger_proto::v1::{self, StoreStatus, cause::Why};

/// Returns the phase's name, such as `READY`; a number, when it is a phase that this version does not know.
pub(crate) fn phase_name(store: &StoreStatus) -> String {
    let known = v1::Phase::try_from(store.phase).map(|phase| phase.as_str_name());
    named(known.ok(), "PHASE_", store.phase)
}

/// Returns why the store is in its phase: a `RestoreCause` or a `Reason`, without the prefix.
pub(crate) fn cause_name(cause: &v1::Cause) -> Option<String> {
    Some(match cause.why? {
        Why::Restore(number) => {
            let known = v1::RestoreCause::try_from(number).map(|cause| cause.as_str_name());
            named(known.ok(), "RESTORE_CAUSE_", number)
        }
        Why::Refusal(number) => {
            let known = v1::Reason::try_from(number).map(|reason| reason.as_str_name());
            named(known.ok(), "REASON_", number)
        }
    })
}

pub(crate) fn stall_name(stall: &v1::Stall) -> String {
    let known = v1::StallKind::try_from(stall.kind).map(|kind| kind.as_str_name());
    named(known.ok(), "STALL_KIND_", stall.kind)
}

fn named(known: Option<&str>, prefix: &str, number: i32) -> String {
    match known {
        Some(name) => name.trim_start_matches(prefix).to_owned(),
        None => number.to_string(),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
