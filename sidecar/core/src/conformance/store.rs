//! What every engine behind the store seam must do.
//!
//! A runner makes one new, empty store per [`Case`] and runs it; a case that fails panics. The cases
//! know the seam's words only: how a process dies and how a disk rots is the runner's part.

mod damage;
mod durability;
mod faults;
mod fetched;
mod fixture;
mod generations;
mod identity;
mod load;
mod looks;
mod pins;
mod ranges;
mod rows;
mod volumes;

use crate::offset::{Generation, RequestId};
use crate::store::{StoreCall, StoreCallKind, StoreErrorKind, StoreEvent, View};
use crate::topic::Identity;

pub use fixture::{PARTITIONS, identity};

pub trait StoreUnderTest {
    fn call(&mut self, call: StoreCall) -> StoreEvent;

    fn view(&self, generation: Generation) -> Option<Box<dyn View>>;

    /// What is kept under `pin`, once all partitions are.
    fn pinned(&self, pin: RequestId) -> Option<Box<dyn View>>;

    /// The process is killed. The next call is an `Open` or a `Look`.
    fn crash(&mut self);

    /// The process ends in good order. The next call is an `Open` or a `Look`.
    fn stop(&mut self);

    /// The process is killed in the middle of this `Create`, `Adopt`, `Activate`, `Remove` or `Quarantine`.
    fn crash_during(&mut self, call: StoreCall);

    /// Keeps a copy of the volume of a store that crashed or was stopped.
    fn keep_volume(&mut self);

    /// Puts that copy in the place of the volume of a store that crashed or was stopped.
    fn mount_kept_volume(&mut self);

    /// Places what is flushed of `from`, of a store that crashed or was stopped, where `Adopt` of `generation` finds
    /// it: as if it had been fetched from a peer that has it under this identity.
    fn place_fetched(&mut self, generation: Generation, from: Generation, identity: Identity);

    /// Damages the disk of a store that crashed or was stopped.
    fn damage(&mut self, damage: Damage);

    /// The disk refuses from the next call on. Only [`FAULT_CASES`] ask for it.
    fn arm(&mut self, fault: Fault);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next call of this kind fails, once, without an effect.
    Next(StoreCallKind, StoreErrorKind),
    /// From now on what needs space fails.
    Full,
    /// There is space again.
    Free,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// IDENTITY cannot be read.
    Identity,
    /// IDENTITY is gone.
    NoIdentity,
    /// CURRENT cannot be read.
    Current,
    /// The generation was written by a version that does not exist yet.
    Format(Generation),
    /// What names the generation's files is damaged.
    Index(Generation),
    /// One of the generation's data files is gone.
    MissingFile(Generation),
    /// Bytes inside the generation's data files are wrong.
    Rows(Generation),
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub run: fn(&mut dyn StoreUnderTest),
}

macro_rules! cases {
    ($($module:ident::{$($name:ident),* $(,)?}),* $(,)?) => {
        &[$($(Case { name: stringify!($name), run: $module::$name }),*),*]
    };
}

pub const CASES: &[Case] = cases![
    rows::{
        the_last_write_of_a_key_wins_within_and_across_batches,
        a_tombstone_deletes_and_a_later_put_brings_back,
        deleting_an_absent_key_changes_nothing_but_the_position,
        an_empty_key_and_an_empty_value_are_a_key_and_a_value,
        a_value_of_ten_megabytes_comes_back_whole,
        keys_of_any_bytes_come_back_in_byte_order,
        a_row_carries_the_record_that_wrote_it,
        equal_contents_have_equal_digests_however_they_were_batched,
        a_view_is_one_moment,
        a_generation_that_is_not_open_has_no_view,
    },
    ranges::{
        a_scan_starts_inclusive_and_ends_exclusive,
        a_scan_goes_backwards_in_reverse,
        a_scan_merges_the_partitions_in_key_order,
        a_scan_stops_when_told,
        an_empty_or_inverted_range_has_no_rows,
    },
    looks::{
        a_look_finds_what_is_in_use_and_changes_nothing,
        what_was_looked_at_is_read_alone_until_it_is_opened,
        a_look_does_not_ask_whose_topic_it_is_but_whose_store,
        a_look_does_not_see_a_rebuild_that_is_not_in_use,
        a_look_leaves_what_a_crash_interrupted,
        a_damaged_copy_is_told_and_not_opened,
    },
    durability::{
        a_new_generation_is_durable_at_once,
        what_was_flushed_survives_a_crash,
        a_crash_leaves_each_partition_a_prefix_of_its_applies,
        a_confirm_is_durable_with_the_next_flush,
        close_forgets_what_was_not_flushed,
        a_stop_in_good_order_does_not_flush,
        opening_again_forgets_what_was_not_flushed,
        a_copy_goes_on_after_many_reopenings,
    },
    identity::{
        an_empty_disk_is_nothing,
        a_copy_of_something_else_is_foreign_and_stays_as_it_was,
        an_unreadable_identity_is_foreign,
        an_identity_without_generations_need_not_be_readable,
        generations_without_an_identity_are_foreign,
        a_generation_of_something_else_is_not_created,
    },
    generations::{
        a_generation_is_building_until_it_is_activated,
        a_crash_while_building_keeps_both_generations,
        a_number_is_not_used_again,
        a_generation_that_is_there_is_not_created_again,
        a_current_that_is_gone_is_none,
        a_quarantined_generation_is_neither_open_nor_found,
        an_interrupted_create_leaves_nothing,
        an_interrupted_activate_leaves_the_old_one_or_the_new_one,
        an_interrupted_remove_is_finished_at_open,
        an_interrupted_quarantine_is_finished_at_open,
        a_superseded_generation_is_set_aside_at_open,
        removing_what_is_not_there_is_no_error,
        a_call_to_a_generation_that_is_not_open_fails,
        a_view_of_what_was_closed_tells_what_it_held_or_fails,
    },
    fetched::{
        what_was_fetched_becomes_an_unfinished_generation,
        an_adopted_generation_goes_on_and_is_put_into_use,
        a_retention_that_was_heard_is_durable_with_what_is_adopted,
        a_first_generation_may_be_adopted,
        what_was_not_fetched_is_not_adopted,
        what_was_fetched_for_something_else_is_not_adopted,
        a_number_that_was_used_is_not_adopted,
        an_interrupted_adopt_leaves_what_was_fetched_or_a_generation,
        what_was_fetched_survives_opening_and_goes_with_a_create,
        adopting_removes_what_else_was_fetched,
        what_was_fetched_is_no_generation,
    },
    load::{
        what_is_loaded_is_read_when_it_is_flushed,
        later_runs_win_over_earlier_ones,
        a_crash_leaves_a_load_at_its_last_flush_or_further,
        a_load_goes_on_after_it_was_opened_again,
        rows_that_are_not_flushed_are_not_put_into_use,
        a_confirmation_that_is_not_flushed_is_put_into_use,
        a_load_that_was_put_into_use_is_written_like_any_copy,
    },
    pins::{
        each_partition_is_pinned_where_it_stands,
        a_pin_is_there_when_all_partitions_are,
        pins_are_apart_and_end_one_by_one,
        only_what_is_in_use_is_pinned,
        a_pin_ends_with_its_generation,
        a_read_of_a_pin_outlives_it,
    },
    volumes::{
        an_old_volume_is_what_it_was_then,
        a_volume_from_before_there_was_a_copy_is_nothing,
        an_old_volume_of_something_else_is_foreign,
    },
    damage::{
        an_unknown_format_is_not_opened,
        a_damaged_index_is_found_at_open,
        a_missing_file_is_found_at_open,
        damaged_rows_are_found_and_never_served,
        a_read_beside_damage_is_right_or_an_error,
        a_current_that_cannot_be_read_names_nothing,
        a_corrupt_generation_can_be_set_aside_and_replaced,
    },
];

/// For engines whose disk can be made to refuse.
pub const FAULT_CASES: &[Case] = cases![
    faults::{
        after_a_failed_apply_nothing_is_applied_until_reopened,
        a_failed_confirm_stops_the_generation_too,
        a_failed_flush_is_not_made_good_by_the_next_one,
        a_full_disk_fails_the_flush_and_a_reopened_copy_goes_on,
        a_failed_create_leaves_nothing,
        a_failed_adopt_can_be_repeated,
        a_failed_activate_changes_nothing,
        a_failed_quarantine_can_be_repeated,
        a_failed_remove_can_be_repeated,
        a_failed_open_opens_nothing_and_can_be_repeated,
    },
];
