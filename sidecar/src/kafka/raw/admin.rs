//! Questions to the cluster: each is answered on a queue, within its timeout, as an event with its tag.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use outrigger_core::offset::{Epoch, Offset, Partition};
use rdkafka::bindings as rd;
use rdkafka::bindings::rd_kafka_admin_op_t as Op;

use super::client::{Client, Partitions};
use super::queue::Queue;
use super::{Code, ErrorText, ffi, text};

/// How long the cluster may take for an answer.
#[derive(Clone, Copy, Debug)]
pub(in crate::kafka) struct Timeout(pub(in crate::kafka) Duration);

#[derive(Clone, Debug)]
pub(in crate::kafka) struct TopicDescription {
    pub(in crate::kafka) id: [u8; 16],
    /// For each partition, in order: the brokers that have a replica.
    pub(in crate::kafka) replicas: Vec<Vec<i32>>,
}

#[derive(Clone, Debug)]
pub(in crate::kafka) struct ClusterDescription {
    pub(in crate::kafka) id: String,
    /// Ids of the brokers that are up.
    pub(in crate::kafka) brokers: Vec<i32>,
}

/// What a question for settings is about.
#[derive(Clone, Copy, Debug)]
pub(in crate::kafka) enum Configured<'a> {
    Topic(&'a CStr),
    Broker(i32),
}

#[derive(Clone, Copy, Debug)]
pub(in crate::kafka) struct ListedOffset {
    pub(in crate::kafka) partition: Partition,
    pub(in crate::kafka) offset: Result<Offset, Code>,
    pub(in crate::kafka) epoch: Option<Epoch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kafka) enum OffsetSpec {
    LogStart,
    /// The end as a reader of everything sees it, open transactions included.
    HighWatermark,
}

#[derive(Clone, Debug)]
pub(in crate::kafka) struct NewTopic {
    pub(in crate::kafka) name: CString,
    pub(in crate::kafka) partitions: u32,
    pub(in crate::kafka) replication: u32,
    pub(in crate::kafka) configs: Vec<(CString, CString)>,
}

impl Client {
    pub(in crate::kafka) fn describe_topic(
        &self,
        name: &CStr,
        tag: usize,
        timeout: Timeout,
        answers: &Queue,
    ) {
        let options = self.options(Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout, tag);
        let mut names = [name.as_ptr()];
        // SAFETY: everything is live during the call, which copies what it keeps.
        unsafe {
            let topics =
                rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            rd::rd_kafka_DescribeTopics(self.as_ptr(), topics, options.as_ptr(), answers.as_ptr());
            rd::rd_kafka_TopicCollection_destroy(topics);
        }
    }

    /// The id of the cluster, as some broker told last. None: none has.
    pub(in crate::kafka) fn cluster_id(&self) -> Option<String> {
        // SAFETY: the client is live. The answer is null, or a text that is ours to free.
        unsafe {
            let id = rd::rd_kafka_clusterid(self.as_ptr(), 0);
            if id.is_null() {
                return None;
            }
            let told = text(id);
            rd::rd_kafka_mem_free(self.as_ptr(), id.cast());
            Some(told)
        }
    }

    /// Asks for the cluster and waits for the answer.
    ///
    /// Metadata is asked for, because librdkafka's DescribeCluster ends the process (an assertion in
    /// `rd_kafka_admin_response_parse`) when a broker tells of a cluster in which nobody is up.
    pub(in crate::kafka) fn cluster(&self, timeout: Timeout) -> Result<ClusterDescription, Code> {
        let mut metadata = ptr::null::<rd::rd_kafka_metadata>();
        // SAFETY: the client is live, and no topic is named; what is told is ours until it is destroyed.
        let brokers = unsafe {
            let told = ffi::rd_kafka_metadata(
                self.as_ptr(),
                0,
                ptr::null_mut(),
                &raw mut metadata,
                timeout.millis(),
            );
            if told != Code::NONE.0 {
                return Err(Code(told));
            }
            let count = usize::try_from((*metadata).broker_cnt).unwrap_or(0);
            let brokers = match (*metadata).brokers {
                none if none.is_null() => &[],
                first => slice::from_raw_parts(first, count),
            };
            let brokers = brokers.iter().map(|broker| broker.id).collect();
            rd::rd_kafka_metadata_destroy(metadata);
            brokers
        };
        let id = self.cluster_id().ok_or(Code::FAIL)?;
        Ok(ClusterDescription { id, brokers })
    }

    pub(in crate::kafka) fn describe_configs(
        &self,
        of: Configured<'_>,
        tag: usize,
        timeout: Timeout,
        answers: &Queue,
    ) {
        let options = self.options(Op::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout, tag);
        let (kind, name) = match of {
            Configured::Topic(name) => {
                (rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name.to_owned())
            }
            Configured::Broker(id) => {
                let name = CString::new(id.to_string()).expect("a number has no zero byte");
                (rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER, name)
            }
        };
        // SAFETY: everything is live during the call, which copies what it keeps.
        unsafe {
            let mut resource = rd::rd_kafka_ConfigResource_new(kind, name.as_ptr());
            rd::rd_kafka_DescribeConfigs(
                self.as_ptr(),
                &raw mut resource,
                1,
                options.as_ptr(),
                answers.as_ptr(),
            );
            rd::rd_kafka_ConfigResource_destroy(resource);
        }
    }

    pub(in crate::kafka) fn list_offsets(
        &self,
        name: &CStr,
        partitions: &[Partition],
        spec: OffsetSpec,
        tag: usize,
        timeout: Timeout,
        answers: &Queue,
    ) {
        let spec: i64 = match spec {
            OffsetSpec::LogStart => -2,
            OffsetSpec::HighWatermark => -1,
        };
        let list = Partitions::new(partitions.len());
        for partition in partitions {
            list.add(name, *partition, spec);
        }
        let options = self.options(Op::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout, tag);
        let everything = rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED;
        // SAFETY: everything is live during the calls, which copy what they keep.
        unsafe {
            let refused =
                rd::rd_kafka_AdminOptions_set_isolation_level(options.as_ptr(), everything);
            super::event::take_error(refused).expect("ListOffsets takes an isolation level");
            rd::rd_kafka_ListOffsets(
                self.as_ptr(),
                list.as_ptr(),
                options.as_ptr(),
                answers.as_ptr(),
            );
        }
    }

    /// Asks for a new topic. The answer comes when the brokers know the topic.
    pub(in crate::kafka) fn create_topic(
        &self,
        topic: &NewTopic,
        timeout: Timeout,
        answers: &Queue,
    ) -> Result<(), String> {
        let options = self.options(Op::RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout, 0);
        options.wait_for_brokers(timeout);
        let partitions = c_int::try_from(topic.partitions).map_err(|_| "too many partitions")?;
        let replication = c_int::try_from(topic.replication).map_err(|_| "too many replicas")?;
        let mut error = ErrorText::new();
        let (buffer, length) = error.parts();
        // SAFETY: everything is live during the calls, which copy what they keep.
        unsafe {
            let new = rd::rd_kafka_NewTopic_new(
                topic.name.as_ptr(),
                partitions,
                replication,
                buffer,
                length,
            );
            if new.is_null() {
                return Err(error.text());
            }
            for (name, value) in &topic.configs {
                rd::rd_kafka_NewTopic_set_config(new, name.as_ptr(), value.as_ptr());
            }
            let mut topics = [new];
            rd::rd_kafka_CreateTopics(
                self.as_ptr(),
                topics.as_mut_ptr(),
                topics.len(),
                options.as_ptr(),
                answers.as_ptr(),
            );
            rd::rd_kafka_NewTopic_destroy(new);
        }
        Ok(())
    }

    pub(super) fn options(&self, op: Op, timeout: Timeout, tag: usize) -> Options {
        // SAFETY: the client is live; the answer is ours to free.
        let options = unsafe { rd::rd_kafka_AdminOptions_new(self.as_ptr(), op) };
        let options = Options(NonNull::new(options).expect("librdkafka knows its own requests"));
        let mut error = ErrorText::new();
        let (buffer, length) = error.parts();
        // SAFETY: the options are live; the tag is never used as an address.
        unsafe {
            rd::rd_kafka_AdminOptions_set_request_timeout(
                options.as_ptr(),
                timeout.millis(),
                buffer,
                length,
            );
            let tag = ptr::without_provenance_mut::<c_void>(tag);
            rd::rd_kafka_AdminOptions_set_opaque(options.as_ptr(), tag);
        }
        options
    }
}

impl Timeout {
    fn millis(self) -> c_int {
        c_int::try_from(self.0.as_millis()).expect("a timeout of days is a mistake")
    }
}

pub(super) struct Options(NonNull<rd::rd_kafka_AdminOptions_t>);

impl Options {
    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_AdminOptions_t {
        self.0.as_ptr()
    }

    fn wait_for_brokers(&self, timeout: Timeout) {
        let mut error = ErrorText::new();
        let (buffer, length) = error.parts();
        // SAFETY: the options are live, and the buffer has the length that is named.
        unsafe {
            rd::rd_kafka_AdminOptions_set_operation_timeout(
                self.0.as_ptr(),
                timeout.millis(),
                buffer,
                length,
            );
        }
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: ours, used for the last time.
        unsafe { rd::rd_kafka_AdminOptions_destroy(self.0.as_ptr()) }
    }
}

/// # Safety
/// `event` is a live result of `describe_topic` without an error of its own.
pub(super) unsafe fn topic_result(
    event: *mut rd::rd_kafka_event_t,
) -> Result<TopicDescription, Code> {
    let mut count = 0;
    // SAFETY: by contract; what is read lives as long as the event.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let topic = *array(topics, count).first().ok_or(Code::FAIL)?;
        let error = rd::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() && Code(ffi::rd_kafka_error_code(error)) != Code::NONE {
            return Err(Code(ffi::rd_kafka_error_code(error)));
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        let most = rd::rd_kafka_Uuid_most_significant_bits(id).to_be_bytes();
        let least = rd::rd_kafka_Uuid_least_significant_bits(id).to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&most);
        bytes[8..].copy_from_slice(&least);
        let partitions = rd::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let replicas = array(partitions, count)
            .iter()
            .map(|partition| {
                let mut count = 0;
                let nodes = rd::rd_kafka_TopicPartitionInfo_replicas(*partition, &raw mut count);
                ids(nodes, count)
            })
            .collect();
        Ok(TopicDescription { id: bytes, replicas })
    }
}

/// # Safety
/// `event` is a live result of `describe_configs` without an error of its own.
pub(super) unsafe fn configs_result(
    event: *mut rd::rd_kafka_event_t,
) -> Result<BTreeMap<String, String>, Code> {
    let mut count = 0;
    // SAFETY: by contract; what is read lives as long as the event.
    unsafe {
        let result = rd::rd_kafka_event_DescribeConfigs_result(event);
        let resources = rd::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        let topic = *array(resources, count).first().ok_or(Code::FAIL)?;
        let code = Code(ffi::rd_kafka_ConfigResource_error(topic));
        if code != Code::NONE {
            return Err(code);
        }
        let entries = rd::rd_kafka_ConfigResource_configs(topic, &raw mut count);
        Ok(array(entries, count)
            .iter()
            .map(|entry| {
                let name = text(rd::rd_kafka_ConfigEntry_name(*entry));
                (name, text(rd::rd_kafka_ConfigEntry_value(*entry)))
            })
            .collect())
    }
}

/// # Safety
/// `event` is a live result of `list_offsets` without an error of its own.
pub(super) unsafe fn offsets_result(
    event: *mut rd::rd_kafka_event_t,
) -> Result<Vec<ListedOffset>, Code> {
    let mut count = 0;
    // SAFETY: by contract; what is read lives as long as the event.
    unsafe {
        let result = rd::rd_kafka_event_ListOffsets_result(event);
        let infos = rd::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        Ok(array(infos, count).iter().map(|info| listed(*info)).collect())
    }
}

/// # Safety
/// `info` is live.
unsafe fn listed(info: *const rd::rd_kafka_ListOffsetsResultInfo_t) -> ListedOffset {
    // SAFETY: by contract. The code is read as a number, for it may be one that the enum lacks.
    unsafe {
        let entry = rd::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
        let code = Code((&raw const (*entry).err).cast::<i32>().read());
        // librdkafka loses the error of a leader that it could not ask: an entry without an answer.
        let offset = u64::try_from((*entry).offset).map(Offset).map_err(|_| Code::TRANSPORT);
        let epoch = rd::rd_kafka_topic_partition_get_leader_epoch(entry);
        ListedOffset {
            partition: Partition(u32::try_from((*entry).partition).unwrap_or(u32::MAX)),
            offset: if code == Code::NONE { offset } else { Err(code) },
            epoch: u32::try_from(epoch).ok().map(Epoch),
        }
    }
}

/// # Safety
/// `event` is a live result of `create_topic` without an error of its own.
pub(super) unsafe fn created_result(
    event: *mut rd::rd_kafka_event_t,
) -> Result<(), (Code, String)> {
    let mut count = 0;
    // SAFETY: by contract; what is read lives as long as the event.
    unsafe {
        let result = rd::rd_kafka_event_CreateTopics_result(event);
        let topics = rd::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
        let first = array(topics, count).first();
        let topic = *first.ok_or_else(|| (Code::FAIL, "no answer inside".to_owned()))?;
        match Code(ffi::rd_kafka_topic_result_error(topic)) {
            Code::NONE => Ok(()),
            code => Err((code, text(rd::rd_kafka_topic_result_error_string(topic)))),
        }
    }
}

/// # Safety
/// `nodes` is null or begins `count` pointers to live nodes.
unsafe fn ids(nodes: *mut *const rd::rd_kafka_Node_t, count: usize) -> Vec<i32> {
    // SAFETY: by contract.
    unsafe { array(nodes, count).iter().map(|node| rd::rd_kafka_Node_id(*node)).collect() }
}

/// # Safety
/// `start` is null or begins `count` pointers that live for `'a`.
pub(super) unsafe fn array<'a, T>(start: *mut *const T, count: usize) -> &'a [*const T] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: not null here, and as long as the contract says.
    unsafe { slice::from_raw_parts(start, count) }
}
