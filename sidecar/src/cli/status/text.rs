//! Status for people: what is wrong first, then where the copy stands.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use outrigger_client::proto::v1::cause::Why;
use outrigger_client::proto::v1::{
    DiskTimes, PartitionStatus, PeerTransfer, Phase, RestoreProgress,
};
use outrigger_client::{NodeStatus, StoreStatus};

use crate::shown::{self, cause_name, hex, hung, phase_name, stall_name};
use crate::words::counted;

const INFALLIBLE: &str = "a String takes every text";

/// What to do about what hangs.
pub(in crate::cli) const RESTART: &str = "restart the process; what was flushed is kept";

pub(super) fn node(node: &NodeStatus) -> String {
    let mut text = format!("outrigger {}\n", node.version);
    if let Some(age) = shown::no_news(node) {
        let age = age.as_secs();
        writeln!(text, "no news for {age} s: what follows was so then").expect(INFALLIBLE);
    }
    if node.stopping {
        writeln!(text, "{}", shown::STOPPING).expect(INFALLIBLE);
    }
    if let Some(hung) = hung(node) {
        writeln!(text, "{hung}: {RESTART}").expect(INFALLIBLE);
    }
    for each in &node.stores {
        text.push('\n');
        store(each, &mut text);
    }
    text
}

/// Returns one line: how the store is, and how old. What is cut off at the end is what matters least.
pub(in crate::cli) fn summary(store: &StoreStatus) -> String {
    match store.confirmed_age_ms {
        Some(age) => format!("{}  confirmed {} ago", state(store), seconds(age)),
        None => state(store),
    }
}

/// Returns state and line of a store of a node of which nothing has been known for this long, although it answers.
pub(in crate::cli) fn no_news(
    node: &NodeStatus,
    age: Duration,
    store: &StoreStatus,
) -> (String, String) {
    let state = ["NO NEWS".to_owned()].into_iter().chain(hung(node)).collect::<Vec<_>>().join("  ");
    let line = format!("{state}  {} s ago it was {}", age.as_secs(), self::state(store));
    (state, line)
}

/// Returns the summary without the age, which changes all the time.
pub(in crate::cli) fn state(store: &StoreStatus) -> String {
    let mut parts = vec![phase(store)];
    parts.extend(to_go(store));
    parts.extend(rest(store));
    parts.join("  ")
}

/// Returns share and time to go of a restore, as far as they are known.
pub(super) fn to_go(store: &StoreStatus) -> Option<String> {
    let restore = store.restore.as_ref()?;
    let share = restore.fraction.map(|fraction| format!("{:.0} %", (fraction * 100.0).floor()));
    let time = restore.eta_seconds.map(|seconds| format!("{seconds} s to go"));
    let known: Vec<_> = share.into_iter().chain(time).collect();
    (!known.is_empty()).then(|| known.join(", "))
}

/// Returns what holds a store up, what its restore has done, and what is odd.
pub(super) fn rest(store: &StoreStatus) -> Vec<String> {
    let stalls = store.stalls.iter();
    let stalls = stalls.map(|stall| format!("STALLED: {} ({})", stall_name(stall), stall.detail));
    let restore = store.restore.as_ref().map(amounts);
    let lag = store.lag_records.map(|lag| format!("lag {}", HumanCount(lag)));
    let ignored = store.ignored_records;
    let ignored = (ignored > 0).then(|| format!("{} IGNORED", counted(ignored, "record")));
    stalls.chain(restore).chain(lag).chain(ignored).collect()
}

/// Returns the phase, and why, in words, such as `RESTORING (nothing on disk)`; of a refusal the name that can be
/// looked up.
pub(in crate::cli) fn phase(store: &StoreStatus) -> String {
    let phase = phase_name(store);
    let why = store.cause.as_ref().and_then(|cause| match cause.why {
        Some(Why::Restore(_)) if !cause.detail.is_empty() => Some(cause.detail.clone()),
        Some(Why::Restore(_) | Why::Refusal(_)) | None => cause_name(cause),
    });
    match why {
        Some(why) => format!("{phase} ({why})"),
        None => phase,
    }
}

/// Returns a refusal with its reason, and what to do.
pub(in crate::cli) fn refusal(store: &StoreStatus) -> String {
    let mut text = format!("{} is {}\n", store.store, phase(store));
    if let Some(cause) = &store.cause {
        advice(&cause.detail, &cause.what_to_do, &mut text);
    }
    text.trim_end().to_owned()
}

fn store(store: &StoreStatus, text: &mut String) {
    writeln!(text, "{}  {}", store.store, summary(store)).expect(INFALLIBLE);
    if let Some(cause) = &store.cause {
        // The first line has the detail of a restore.
        let detail = if store.phase() == Phase::Refused { cause.detail.as_str() } else { "" };
        advice(detail, &cause.what_to_do, text);
    }
    for stall in &store.stalls {
        advice(&stall.detail, &stall.what_to_do, text);
    }
    for warning in &store.warnings {
        writeln!(text, "  {}", shown::warning(warning)).expect(INFALLIBLE);
    }
    write!(text, "  topic {}", store.topic).expect(INFALLIBLE);
    if !store.topic_id.is_empty() {
        write!(text, " (id {}), cluster {}", hex(&store.topic_id), store.cluster_id)
            .expect(INFALLIBLE);
    }
    match (store.generation, store.fed_generation) {
        (None, None) => text.push('\n'),
        (None, Some(fed)) => writeln!(text, ", fills g{fed}").expect(INFALLIBLE),
        (Some(served), Some(fed)) if fed != served => {
            writeln!(text, ", reads from g{served}, fills g{fed}").expect(INFALLIBLE);
        }
        (Some(served), _) => writeln!(text, ", reads from g{served}").expect(INFALLIBLE),
    }
    let writes = counted(store.writes_in_flight, "write");
    let (reads, ignored) =
        (counted(store.reads_waiting, "read"), counted(store.ignored_records, "record"));
    writeln!(text, "  {writes} in flight, {reads} waiting, {ignored} ignored").expect(INFALLIBLE);
    if let Some(disk) = &store.disk {
        writeln!(text, "  disk: {}", disk_times(disk)).expect(INFALLIBLE);
    }
    for each in &store.partitions {
        partition(each, text);
    }
    if let Some(digest) = &store.digest {
        let rows = HumanCount(digest.rows);
        writeln!(text, "  digest {} of {rows} keys", hex(&digest.sum)).expect(INFALLIBLE);
    }
}

/// Returns how long the disk took lately, and what it has not answered.
fn disk_times(disk: &DiskTimes) -> String {
    let longest = |what: &str, micros: Option<u64>| {
        micros.map(|micros| format!("longest {what} {} ms", tenths_of_ms(micros)))
    };
    let open = disk.oldest_open_ms.map(|open| format!("a call is open for {}", seconds(open)));
    let parts = [longest("apply", disk.apply_us_max), longest("flush", disk.flush_us_max), open];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing to do lately".to_owned() } else { parts.join(", ") }
}

fn advice(detail: &str, what_to_do: &str, text: &mut String) {
    for line in [detail, what_to_do].into_iter().filter(|line| !line.is_empty()) {
        writeln!(text, "  {line}").expect(INFALLIBLE);
    }
}

fn partition(partition: &PartitionStatus, text: &mut String) {
    let PartitionStatus { position, durable, log_start, exact_from, .. } = partition;
    // What was read is proof of an end that nobody has told yet.
    let log_end = position.max(&partition.log_end);
    let number = partition.partition;
    write!(text, "  partition {number}: position {position} of {log_end}, durable {durable}")
        .expect(INFALLIBLE);
    if exact_from > position {
        write!(text, ", exact from {exact_from} on").expect(INFALLIBLE);
    }
    if *log_start > 0 {
        write!(text, ", log starts at {log_start}: records were deleted").expect(INFALLIBLE);
    }
    text.push('\n');
}

fn amounts(restore: &RestoreProgress) -> String {
    let mut text = match &restore.from_peer {
        Some(PeerTransfer { peer, bytes, bytes_total }) => {
            format!("{} of {} from {peer}", HumanBytes(*bytes), HumanBytes(*bytes_total))
        }
        None => format!(
            "{} ({}), {} a second",
            counted(restore.records_read, "record"),
            HumanBytes(restore.bytes_read),
            HumanCount(restore.records_per_second)
        ),
    };
    if let Some(bytes) = restore.bytes_per_second_max {
        write!(text, ", throttled to {} a second", HumanBytes(bytes)).expect(INFALLIBLE);
    }
    text
}

fn tenths_of_ms(micros: u64) -> String {
    format!("{}.{}", micros / 1_000, micros % 1_000 / 100)
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1_000, millis % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use outrigger_client::proto::v1::{Cause, Reason, RestoreCause, Stall, StallKind};

    use super::*;

    #[test]
    fn a_restore_is_told_with_phase_records_rate_and_time_to_go() {
        let restore = RestoreProgress {
            records_read: 1_234_567,
            bytes_read: 1 << 20,
            records_per_second: 98_765,
            fraction: Some(0.25),
            eta_seconds: Some(7),
            bytes_per_second_max: Some(10 << 20),
            ..RestoreProgress::default()
        };
        let status = StoreStatus {
            phase: Phase::Restoring.into(),
            cause: Some(Cause {
                why: Some(Why::Restore(RestoreCause::Empty.into())),
                detail: "nothing on disk".to_owned(),
                ..Cause::default()
            }),
            restore: Some(restore),
            lag_records: Some(4_000),
            ..StoreStatus::default()
        };
        let expected = "RESTORING (nothing on disk)  25 %, 7 s to go  1,234,567 records (1.00 MiB), 98,765 a second, \
                        throttled to 10.00 MiB a second  lag 4,000";
        assert_eq!(summary(&status), expected);
    }

    #[test]
    fn a_copy_that_comes_from_a_peer_is_told_with_its_address_and_bytes() {
        let from_peer =
            PeerTransfer { peer: "http://b:7400".to_owned(), bytes: 1 << 20, bytes_total: 4 << 20 };
        let restore = RestoreProgress {
            fraction: Some(0.25),
            eta_seconds: Some(7),
            from_peer: Some(from_peer),
            ..RestoreProgress::default()
        };
        let status = StoreStatus {
            phase: Phase::Refused.into(),
            restore: Some(restore),
            ..StoreStatus::default()
        };
        let expected = "REFUSED  25 %, 7 s to go  1.00 MiB of 4.00 MiB from http://b:7400";
        assert_eq!(summary(&status), expected);
    }

    #[test]
    fn a_refusal_says_why_and_what_to_do() {
        let cause = Cause {
            why: Some(Why::Refusal(Reason::RefusedTopicPolicy.into())),
            detail: "cleanup.policy is delete".to_owned(),
            what_to_do: "set it to compact".to_owned(),
        };
        let status = StoreStatus {
            phase: Phase::Refused.into(),
            cause: Some(cause),
            ..StoreStatus::default()
        };
        let text = node(&NodeStatus {
            version: "1".to_owned(),
            stores: vec![status],
            ..NodeStatus::default()
        });
        for part in
            ["REFUSED (REFUSED_TOPIC_POLICY)", "cleanup.policy is delete", "set it to compact"]
        {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn how_long_the_disk_takes_is_told_and_what_it_has_not_answered() {
        let told = |oldest_open_ms, apply_us_max, flush_us_max| {
            disk_times(&DiskTimes { oldest_open_ms, apply_us_max, flush_us_max })
        };
        assert_eq!(told(None, None, None), "nothing to do lately");
        let all = told(Some(31_250), Some(930), Some(12_345));
        assert_eq!(all, "longest apply 0.9 ms, longest flush 12.3 ms, a call is open for 31.2 s");
    }

    #[test]
    fn a_state_that_is_old_is_told_as_old_with_what_hangs() {
        let news = NodeStatus { state_age_ms: Some(400), ..NodeStatus::default() };
        assert_eq!(node(&news).lines().count(), 1, "{}", node(&news));
        let stopping = NodeStatus { stopping: true, ..news.clone() };
        assert_eq!(node(&stopping).lines().nth(1), Some(shown::STOPPING));
        let silent =
            NodeStatus { state_age_ms: Some(12_300), hung: vec!["core".to_owned()], ..news };
        let text = node(&silent);
        assert!(text.contains("\nno news for 12 s: "), "{text}");
        assert!(text.contains("\ncore does not go on: restart"), "{text}");
    }

    #[test]
    fn a_stall_and_an_unknown_phase_are_told() {
        let stall = Stall {
            kind: StallKind::StoreFull.into(),
            detail: "2 KiB left".to_owned(),
            ..Stall::default()
        };
        let status = StoreStatus {
            phase: 99,
            stalls: vec![stall],
            ignored_records: 1,
            confirmed_age_ms: Some(1_250),
            ..StoreStatus::default()
        };
        let text = summary(&status);
        assert_eq!(
            text,
            "99  STALLED: STORE_FULL (2 KiB left)  1 record IGNORED  confirmed 1.2 s ago"
        );
    }
}
