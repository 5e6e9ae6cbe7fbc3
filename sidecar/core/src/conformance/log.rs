//! What every engine behind the log seam must do.
//!
//! A runner makes one new, empty topic of the case's [`Shape`] per [`Case`] and runs it; a case that fails panics. A
//! case that needs an [`Ability`] the engine's world lacks is left out by the runner, by name. Cases are written for
//! real timing: batch boundaries are arbitrary and `Trouble` may come at any time.

mod abort_and_commit;
mod appends;
mod asks;
mod brokers;
mod compaction;
mod fixture;
mod history;
mod outage;
mod partitions;
mod reading;

use std::time::Duration;

use bytes::Bytes;

use crate::log::{LogCall, LogEvent};
use crate::offset::{Offset, Partition};

pub use self::fixture::{Seen, read_to};

/// The engine, and the world around it that no node can move.
pub trait LogUnderTest {
    /// Hands over a call of node `client`: 1 or 2, separate connections with separate readers. Where
    /// an engine wants a `Describe` before anything else, the runner has let it have one.
    fn call(&mut self, client: u32, call: LogCall);

    /// The next event of `client`; none when `within` passed without one.
    fn next_event(&mut self, client: u32, within: Duration) -> Option<LogEvent>;

    /// Another client appends these records as one batch. Returns when they are committed.
    fn append(&mut self, partition: Partition, records: &[Foreign]) -> Vec<Offset>;

    /// Another client begins a transaction, writes these records and leaves it open.
    /// Returns when they are in the log. `Ability::Transactions`.
    fn open_transaction(&mut self, partition: Partition, records: &[Foreign]) -> Vec<Offset>;

    /// Ends the open transaction. Its marker may be written a moment later. `Ability::Transactions`.
    fn end_transaction(&mut self, verdict: Verdict);

    /// Lets the cleaner work until none of `gone` can be read any more. May append records with the
    /// key [`FILLER`] before that, to roll the segment. `Ability::Compaction`.
    fn compact(&mut self, partition: Partition, gone: &[Offset]);

    /// Calls `DeleteRecords` below `before`. `Ability::DeleteRecords`.
    fn delete_records(&mut self, partition: Partition, before: Offset);

    /// The partition's leader loses its whole log and leads again, in a later epoch. `Ability::LoseLog`.
    fn lose_log(&mut self, partition: Partition);

    /// Deletes the topic and creates it again with the same name and shape. `Ability::Recreate`.
    fn recreate(&mut self);

    /// Adds an empty partition (KIP-195). Returns when the brokers tell of it. `Ability::AddPartition`.
    fn add_partition(&mut self);

    /// Sets `delete.retention.ms`. `Ability::AlterPolicy`.
    fn set_delete_retention(&mut self, ms: u64);

    /// No broker answers, until it is called with false. `Ability::Outage`.
    fn set_outage(&mut self, down: bool);

    /// Does something to a broker of the partition. `Ability::Brokers`.
    fn turn_broker(&mut self, partition: Partition, turn: Turn);
}

/// What becomes of a broker that has a replica of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The leader dies.
    KillLeader,
    /// An in-sync follower dies. Returns when it is not held for in sync any more.
    KillFollower,
    /// An in-sync follower is cut off from everybody, and nobody has noticed.
    CutOffFollower,
    /// The same happens. Returns when the follower is not held for in sync any more.
    LoseFollower,
    /// The broker that died first starts again, on its disk.
    StartFirst,
    /// All are up. Returns when all replicas are in sync.
    Heal,
}

/// What another client writes: any key in any partition. A record without a key needs `Ability::Keyless`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Commit,
    Abort,
}

/// The key of records that a runner adds to make a segment roll.
pub const FILLER: &[u8] = b"conformance-filler";

/// What a runner can make the world do to this engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    Keyless,
    Transactions,
    Compaction,
    DeleteRecords,
    LoseLog,
    Recreate,
    AddPartition,
    AlterPolicy,
    Outage,
    /// Three brokers, which hold a silent one for dead after seconds.
    Brokers,
}

/// The topic that a case wants: `cleanup.policy=compact`, `max.message.bytes` = [`MESSAGE_BYTES_MAX`].
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub partitions: u32,
    pub delete_retention_ms: u64,
    /// Small segments and an eager cleaner, for `LogUnderTest::compact`.
    pub eager_cleaner: bool,
    pub copies: Copies,
}

/// A topic's replicas, where there are enough brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Three, two of them in sync for an append.
    Usual,
    /// Three, all of them in sync for an append.
    Strict,
    /// Two, one of them enough, and either may lead uncleanly.
    Careless,
    /// One, each partition's on another broker.
    Single,
}

/// Kafka's default.
pub const MESSAGE_BYTES_MAX: usize = 1_048_588;

const PLAIN: Shape = Shape {
    partitions: 1,
    delete_retention_ms: DAY_MS,
    eager_cleaner: false,
    copies: Copies::Usual,
};
const THREE: Shape = Shape { partitions: 3, ..PLAIN };
const COMPACTED: Shape = Shape { eager_cleaner: true, ..PLAIN };
const FORGETFUL: Shape = Shape { delete_retention_ms: 1_000, ..COMPACTED };
const STRICT: Shape = Shape { copies: Copies::Strict, ..PLAIN };
const LONELY: Shape = Shape { copies: Copies::Single, ..THREE };
const CARELESS: Shape = Shape { copies: Copies::Careless, ..PLAIN };
const DAY_MS: u64 = 86_400_000;

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub shape: Shape,
    pub needs: &'static [Ability],
    pub run: fn(&mut dyn LogUnderTest),
}

macro_rules! cases {
    ($($module:ident($shape:expr, $needs:expr)::{$($name:ident),* $(,)?}),* $(,)?) => {
        &[$($(Case {
            name: stringify!($name),
            shape: $shape,
            needs: $needs,
            run: $module::$name,
        }),*),*]
    };
}

pub const CASES: &[Case] = cases![
    appends(PLAIN, &[])::{
        appends_get_ascending_offsets_without_holes,
        a_call_is_answered_write_by_write_in_its_order,
        several_calls_under_way_keep_their_order,
        appended_records_come_back_in_order_where_they_were_acknowledged,
        a_tombstone_and_an_empty_value_are_not_the_same,
        an_empty_key_is_a_key,
        keys_and_values_are_any_bytes,
        a_big_value_comes_back_whole,
        a_record_too_large_did_certainly_not_happen,
        clients_read_each_others_appends,
    },
    reading(PLAIN, &[])::{
        an_empty_log_ends_at_zero,
        a_log_without_holes_shows_no_gap,
        a_reader_may_start_in_the_middle_and_at_the_end,
        one_fetch_brings_one_batch,
        the_smallest_credit_brings_a_record,
        a_fetch_at_the_end_waits_for_what_comes,
        the_end_is_told_once_until_it_moves,
        an_assign_voids_the_fetch_under_way,
        nothing_older_follows_an_assigned,
        the_clean_bound_covers_what_was_committed_before_the_fetch,
        batches_tell_their_leader_epoch,
        two_clients_read_at_their_own_positions,
    },
    partitions(THREE, &[])::{
        writes_go_to_the_partitions_they_name,
        partitions_are_read_side_by_side,
        another_partitions_key_is_left_out_and_counted,
    },
    partitions(THREE, &[Ability::AddPartition])::{
        an_added_partition_shows_in_the_facts_alone,
    },
    partitions(THREE, &[Ability::Keyless])::{
        a_record_without_a_key_is_left_out_and_counted,
    },
    asks(PLAIN, &[])::{
        the_ends_are_high_watermarks,
        an_ask_sees_what_was_acknowledged_before_it,
        the_facts_tell_the_topic_and_its_policy,
    },
    asks(PLAIN, &[Ability::AlterPolicy])::{
        the_facts_follow_an_altered_policy,
    },
    abort_and_commit(PLAIN, &[Ability::Transactions])::{
        a_committed_transaction_is_read_and_its_marker_is_a_hole,
        an_aborted_tail_is_passed_over_to_the_exact_end,
        aborted_records_between_others_are_holes,
        an_open_transaction_hides_what_is_behind_it,
        the_end_moves_over_hidden_records_alone,
        a_position_behind_an_open_transaction_waits,
    },
    abort_and_commit(COMPACTED, &[Ability::Transactions, Ability::Compaction])::{
        an_aborted_record_never_shadows_a_value,
    },
    compaction(COMPACTED, &[Ability::Compaction])::{
        compaction_leaves_holes_and_the_newest_values,
        a_reader_that_was_ahead_of_the_holes_goes_on,
        a_position_inside_a_hole_reads_on_behind_it,
        offsets_and_the_log_start_do_not_move,
        a_tombstone_outlives_the_value_it_deletes,
    },
    compaction(FORGETFUL, &[Ability::Compaction])::{
        a_tombstone_goes_after_its_retention,
    },
    history(PLAIN, &[])::{
        a_position_above_the_end_is_lost,
        a_position_with_its_epoch_is_valid,
        an_epoch_that_the_leader_has_not_heard_of_is_no_other_history,
    },
    history(PLAIN, &[Ability::DeleteRecords])::{
        a_position_below_the_log_start_is_lost,
        a_reader_at_the_log_start_goes_on,
    },
    history(PLAIN, &[Ability::LoseLog])::{
        a_position_in_a_lost_log_is_lost,
        a_log_that_grew_again_is_another_history,
        a_running_reader_is_told_that_its_history_is_lost,
    },
    history(PLAIN, &[Ability::Recreate])::{
        a_recreated_topic_has_another_id,
    },
    outage(PLAIN, &[Ability::Outage])::{
        a_position_with_its_epoch_outlives_a_leader,
        asks_fail_while_nobody_answers_and_work_again_after,
        reading_goes_on_after_an_outage,
        every_outcome_told_in_an_outage_is_true,
        a_withdrawn_append_is_answered_once_and_truthfully,
    },
    brokers(PLAIN, &[Ability::Brokers])::{
        appends_under_way_when_their_leader_dies_land_once,
        a_record_that_a_replica_lacks_is_neither_read_nor_acknowledged,
    },
    brokers(PLAIN, &[Ability::Brokers, Ability::Transactions])::{
        a_new_leader_hides_what_the_old_one_hid,
    },
    brokers(STRICT, &[Ability::Brokers])::{
        too_few_replicas_in_sync_hold_an_append_back,
    },
    brokers(LONELY, &[Ability::Brokers])::{
        a_partition_without_a_leader_holds_up_no_answer_about_the_others,
    },
    brokers(CARELESS, &[Ability::Brokers])::{
        what_an_out_of_sync_leader_lacks_is_lost,
    },
];
