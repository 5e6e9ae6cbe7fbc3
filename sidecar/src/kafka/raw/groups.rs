//! Questions about consumer groups: each is answered on a queue, within its timeout, as an event with its tag.

use std::ffi::CStr;
use std::slice;

use outrigger_core::offset::{Epoch, Offset, Partition};
use outrigger_core::watch::cursor::Committed;
use rdkafka::bindings as rd;
use rdkafka::bindings::rd_kafka_admin_op_t as Op;

use super::admin::{Timeout, array};
use super::client::{Client, Partitions};
use super::queue::Queue;
use super::{Code, ffi, text};

#[derive(Clone, Debug)]
pub(in crate::kafka) enum GroupAnswer {
    Done,
    /// What the group has committed, each with its topic.
    Committed(Vec<(String, Committed)>),
    /// The names of groups.
    Groups(Vec<String>),
}

impl Client {
    /// Commits in the name of a group that has no members.
    pub(in crate::kafka) fn alter_group_offsets(
        &self,
        group: &CStr,
        topic: &CStr,
        committed: &[Committed],
        tag: usize,
        timeout: Timeout,
        answers: &Queue,
    ) {
        let options = self.options(Op::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, timeout, tag);
        let list = Partitions::new(committed.len());
        for committed in committed {
            self.add_committed(&list, topic, committed);
        }
        // SAFETY: everything is live during the calls, which copy what they keep.
        unsafe {
            let mut asked =
                rd::rd_kafka_AlterConsumerGroupOffsets_new(group.as_ptr(), list.as_ptr());
            rd::rd_kafka_AlterConsumerGroupOffsets(
                self.as_ptr(),
                &raw mut asked,
                1,
                options.as_ptr(),
                answers.as_ptr(),
            );
            rd::rd_kafka_AlterConsumerGroupOffsets_destroy(asked);
        }
    }

    fn add_committed(&self, list: &Partitions, topic: &CStr, committed: &Committed) {
        let Committed { partition, position, epoch, metadata } = committed;
        let offset = i64::try_from(position.0).expect("Kafka counts offsets in 63 bits");
        let epoch = epoch.and_then(|epoch| i32::try_from(epoch.0).ok()).unwrap_or(-1);
        let entry = list.add(topic, *partition, offset);
        // SAFETY: the entry is in a live list that nobody else reads yet. The list frees its metadata with the allocator that
        // gives this memory, which has as many bytes as are written.
        unsafe {
            rd::rd_kafka_topic_partition_set_leader_epoch(entry, epoch);
            let kept = rd::rd_kafka_mem_malloc(self.as_ptr(), metadata.len());
            kept.copy_from_nonoverlapping(metadata.as_ptr().cast(), metadata.len());
            (*entry).metadata = kept;
            (*entry).metadata_size = metadata.len();
        }
    }

    /// Asks for all that a group has committed, in all topics, also what an open transaction may change.
    pub(in crate::kafka) fn list_group_offsets(
        &self,
        group: &CStr,
        tag: usize,
        timeout: Timeout,
        answers: &Queue,
    ) {
        let options = self.options(Op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, timeout, tag);
        // SAFETY: everything is live during the calls, which copy what they keep; without partitions all are asked for.
        unsafe {
            let refused = rd::rd_kafka_AdminOptions_set_require_stable_offsets(options.as_ptr(), 0);
            super::event::take_error(refused).expect("ListConsumerGroupOffsets takes this");
            let mut asked =
                rd::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), std::ptr::null());
            rd::rd_kafka_ListConsumerGroupOffsets(
                self.as_ptr(),
                &raw mut asked,
                1,
                options.as_ptr(),
                answers.as_ptr(),
            );
            rd::rd_kafka_ListConsumerGroupOffsets_destroy(asked);
        }
    }

    /// Asks for the names of all groups that this client may describe.
    pub(in crate::kafka) fn list_groups(&self, tag: usize, timeout: Timeout, answers: &Queue) {
        let options = self.options(Op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, timeout, tag);
        // SAFETY: everything is live during the call, which copies what it keeps.
        unsafe {
            rd::rd_kafka_ListConsumerGroups(self.as_ptr(), options.as_ptr(), answers.as_ptr());
        }
    }

    /// Forgets what a group has committed in these partitions.
    pub(in crate::kafka) fn delete_group_offsets(
        &self,
        group: &CStr,
        topic: &CStr,
        partitions: &[Partition],
        tag: usize,
        timeout: Timeout,
        answers: &Queue,
    ) {
        let options = self.options(Op::RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS, timeout, tag);
        let list = Partitions::new(partitions.len());
        for partition in partitions {
            list.add(topic, *partition, rd::RD_KAFKA_OFFSET_INVALID.into());
        }
        // SAFETY: everything is live during the calls, which copy what they keep.
        unsafe {
            let mut asked =
                rd::rd_kafka_DeleteConsumerGroupOffsets_new(group.as_ptr(), list.as_ptr());
            rd::rd_kafka_DeleteConsumerGroupOffsets(
                self.as_ptr(),
                &raw mut asked,
                1,
                options.as_ptr(),
                answers.as_ptr(),
            );
            rd::rd_kafka_DeleteConsumerGroupOffsets_destroy(asked);
        }
    }
}

/// # Safety
/// `event` is a live result of `alter_group_offsets` without an error of its own.
pub(super) unsafe fn altered_result(event: *mut rd::rd_kafka_event_t) -> Result<GroupAnswer, Code> {
    let mut count = 0;
    // SAFETY: by contract; what is read lives as long as the event.
    unsafe {
        let result = rd::rd_kafka_event_AlterConsumerGroupOffsets_result(event);
        let groups = rd::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count);
        done(of_one_group(groups, count)?)
    }
}

/// # Safety
/// `event` is a live result of `delete_group_offsets` without an error of its own.
pub(super) unsafe fn deleted_result(event: *mut rd::rd_kafka_event_t) -> Result<GroupAnswer, Code> {
    let mut count = 0;
    // SAFETY: by contract; what is read lives as long as the event.
    unsafe {
        let result = rd::rd_kafka_event_DeleteConsumerGroupOffsets_result(event);
        let groups = rd::rd_kafka_DeleteConsumerGroupOffsets_result_groups(result, &raw mut count);
        done(of_one_group(groups, count)?)
    }
}

/// Whether it was done in all partitions.
///
/// # Safety
/// `group` is live.
unsafe fn done(group: *const rd::rd_kafka_group_result_t) -> Result<GroupAnswer, Code> {
    // SAFETY: by contract.
    unsafe {
        let mut codes = partitions(group).into_iter().map(|entry| code(entry));
        codes.find(|code| *code != Code::NONE).map_or(Ok(GroupAnswer::Done), Err)
    }
}

/// # Safety
/// `event` is a live result of `list_group_offsets` without an error of its own.
pub(super) unsafe fn offsets_result(event: *mut rd::rd_kafka_event_t) -> Result<GroupAnswer, Code> {
    let mut count = 0;
    // SAFETY: by contract; what is read lives as long as the event.
    unsafe {
        let result = rd::rd_kafka_event_ListConsumerGroupOffsets_result(event);
        let groups = rd::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
        let mut all = Vec::new();
        for entry in partitions(of_one_group(groups, count)?) {
            match code(entry) {
                Code::NONE => all.extend(committed(entry)),
                code => return Err(code),
            }
        }
        Ok(GroupAnswer::Committed(all))
    }
}

/// # Safety
/// `event` is a live result of `list_groups` without an error of its own.
pub(super) unsafe fn groups_result(event: *mut rd::rd_kafka_event_t) -> Result<GroupAnswer, Code> {
    let mut count = 0;
    // SAFETY: by contract; what is read lives as long as the event.
    unsafe {
        let result = rd::rd_kafka_event_ListConsumerGroups_result(event);
        // Each broker answers for its own: without one of them the list is not whole.
        let errors = rd::rd_kafka_ListConsumerGroups_result_errors(result, &raw mut count);
        if let Some(error) = array(errors, count).first() {
            return Err(Code(ffi::rd_kafka_error_code(*error)));
        }
        let groups = rd::rd_kafka_ListConsumerGroups_result_valid(result, &raw mut count);
        let name = |group: &*const _| text(rd::rd_kafka_ConsumerGroupListing_group_id(*group));
        Ok(GroupAnswer::Groups(array(groups, count).iter().map(name).collect()))
    }
}

/// Returns the only group of a result, if it has no error.
///
/// # Safety
/// `groups` is null or begins `count` pointers to live results.
unsafe fn of_one_group(
    groups: *mut *const rd::rd_kafka_group_result_t,
    count: usize,
) -> Result<*const rd::rd_kafka_group_result_t, Code> {
    // SAFETY: by contract.
    unsafe {
        let group = *array(groups, count).first().ok_or(Code::FAIL)?;
        let error = rd::rd_kafka_group_result_error(group);
        if error.is_null() {
            return Ok(group);
        }
        match Code(ffi::rd_kafka_error_code(error)) {
            Code::NONE => Ok(group),
            code => Err(code),
        }
    }
}

/// The entries of a result's list. They are not borrowed: the enum in them may lack the code that they have.
///
/// # Safety
/// `group` is live.
unsafe fn partitions(
    group: *const rd::rd_kafka_group_result_t,
) -> Vec<*const rd::rd_kafka_topic_partition_t> {
    // SAFETY: by contract. A list of no entries may have no memory for them.
    unsafe {
        let list = rd::rd_kafka_group_result_partitions(group);
        if list.is_null() || (*list).elems.is_null() {
            return Vec::new();
        }
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        (0..count).map(|entry| (*list).elems.add(entry).cast_const()).collect()
    }
}

/// # Safety
/// `entry` is live.
unsafe fn code(entry: *const rd::rd_kafka_topic_partition_t) -> Code {
    // SAFETY: by contract.
    unsafe { Code((&raw const (*entry).err).cast::<i32>().read()) }
}

/// None: nothing is committed there.
///
/// # Safety
/// `entry` is live.
unsafe fn committed(entry: *const rd::rd_kafka_topic_partition_t) -> Option<(String, Committed)> {
    // SAFETY: by contract; an entry knows the size of its metadata.
    unsafe {
        let position = Offset(u64::try_from((*entry).offset).ok()?);
        let partition = Partition(u32::try_from((*entry).partition).ok()?);
        let metadata = match (*entry).metadata {
            none if none.is_null() => &[],
            first => slice::from_raw_parts(first.cast::<u8>().cast_const(), (*entry).metadata_size),
        };
        let metadata = String::from_utf8_lossy(metadata).into_owned();
        let epoch = rd::rd_kafka_topic_partition_get_leader_epoch(entry);
        let epoch = u32::try_from(epoch).ok().map(Epoch);
        Some((text((*entry).topic), Committed { partition, position, epoch, metadata }))
    }
}
