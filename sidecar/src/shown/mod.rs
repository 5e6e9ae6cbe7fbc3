//! How a status is shown, whoever shows it: the names of the protocol, without what they begin with.

pub(crate) mod json;

use std::time::Duration;

use outrigger_proto::v1::{self, NodeStatus, StoreStatus, cause::Why};

/// How old a state may be that is shown as what is: the thread that keeps it goes on twice a second.
const NEWS_AGE_MAX: Duration = Duration::from_secs(3);

/// Returns how old the state of a node is, where it is too old to be shown as what is; none: it is news.
pub(crate) fn no_news(node: &NodeStatus) -> Option<Duration> {
    let age = Duration::from_millis(node.state_age_ms?);
    (age >= NEWS_AGE_MAX).then_some(age)
}

/// Of a node that was told to stop, and serves on for a while.
pub(crate) const STOPPING: &str = "the node is about to stop";

/// Returns what has made no progress for too long, in words; none: everything goes on.
pub(crate) fn hung(node: &NodeStatus) -> Option<String> {
    match &node.hung[..] {
        [] => None,
        [one] => Some(format!("{one} does not go on")),
        several => Some(format!("{} do not go on", several.join(", "))),
    }
}

/// Whether a node says of a warning that it is worse than that.
pub(crate) fn is_bad(warning: &str) -> bool {
    warning.starts_with("bad: ")
}

/// Returns a warning with how much it matters.
pub(crate) fn warning(warning: &str) -> String {
    let grade = if is_bad(warning) { "" } else { "warning: " };
    format!("{grade}{warning}")
}

/// Returns the phase's name, such as `READY`; a number, when it is a phase that this version does not know.
pub(crate) fn phase_name(store: &StoreStatus) -> String {
    phase_of(store.phase)
}

pub(crate) fn phase_of(number: i32) -> String {
    let known = v1::Phase::try_from(number).map(|phase| phase.as_str_name());
    named(known.ok(), "PHASE_", number)
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
    stall_of(stall.kind)
}

pub(crate) fn stall_of(number: i32) -> String {
    let known = v1::StallKind::try_from(number).map(|kind| kind.as_str_name());
    named(known.ok(), "STALL_KIND_", number)
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
