//! Status as JSON: the field names of the protocol, names for enums, hexadecimal for bytes.
//!
//! What is not known is null, so that every object has every key.

use outrigger_proto::v1::{
    Cause, Digest, DiskTimes, NodeStatus, PartitionPosition, PartitionStatus, PeerTransfer,
    RestoreProgress, Stall, StoreStatus,
};
use serde_json::{Value, json};

use super::{cause_name, hex, phase_name, stall_name};
use crate::probes::{PeerStore, PeerTold};

pub(crate) fn node(node: &NodeStatus) -> Value {
    json!({
        "version": node.version,
        "state_age_ms": node.state_age_ms,
        "hung": node.hung,
        "stopping": node.stopping,
        "stores": node.stores.iter().map(store).collect::<Vec<_>>(),
    })
}

pub(crate) fn peer(peer: &PeerTold) -> Value {
    let said = peer.said.as_ref();
    let stores = said.map(|said| said.stores.iter().map(peer_store).collect::<Vec<_>>());
    json!({
        "address": peer.address,
        "why": said.err(),
        "version": said.map(|said| &said.version).ok(),
        "is_this_node": said.is_ok_and(|said| said.is_this_node),
        "state_age_ms": said.ok().and_then(|said| said.state_age_ms),
        "stores": stores.unwrap_or_default(),
    })
}

fn peer_store(store: &PeerStore) -> Value {
    json!({
        "store": store.store,
        "phase": store.phase,
        "stalls": store.stalls,
        "lag_records": store.lag_records,
        "confirmed_age_ms": store.confirmed_age_ms,
        "restore_fraction": store.restore_fraction,
    })
}

fn store(store: &StoreStatus) -> Value {
    json!({
        "store": store.store,
        "topic": store.topic,
        "topic_id": hex(&store.topic_id),
        "cluster_id": store.cluster_id,
        "phase": phase_name(store),
        "cause": store.cause.as_ref().map(cause),
        "stalls": store.stalls.iter().map(stall).collect::<Vec<_>>(),
        "generation": store.generation,
        "fed_generation": store.fed_generation,
        "partitions": store.partitions.iter().map(partition).collect::<Vec<_>>(),
        "exact": store.exact,
        "lag_records": store.lag_records,
        "confirmed_age_ms": store.confirmed_age_ms,
        "horizon_ms": store.horizon_ms,
        "restore": store.restore.as_ref().map(restore),
        "writes_in_flight": store.writes_in_flight,
        "reads_waiting": store.reads_waiting,
        "ignored_records": store.ignored_records,
        "warnings": store.warnings,
        "digest": store.digest.as_ref().map(digest),
        "disk": store.disk.as_ref().map(disk),
    })
}

fn disk(disk: &DiskTimes) -> Value {
    json!({
        "oldest_open_ms": disk.oldest_open_ms,
        "apply_us_max": disk.apply_us_max,
        "flush_us_max": disk.flush_us_max,
    })
}

fn cause(cause: &Cause) -> Value {
    json!({ "name": cause_name(cause), "detail": cause.detail, "what_to_do": cause.what_to_do })
}

fn stall(stall: &Stall) -> Value {
    json!({
        "name": stall_name(stall),
        "since_unix_ms": stall.since_unix_ms,
        "detail": stall.detail,
        "what_to_do": stall.what_to_do,
    })
}

fn partition(partition: &PartitionStatus) -> Value {
    json!({
        "partition": partition.partition,
        "position": partition.position,
        "durable": partition.durable,
        "target": partition.target,
        "log_start": partition.log_start,
        "log_end": partition.log_end,
        "exact_from": partition.exact_from,
        "leader_epoch": partition.leader_epoch,
    })
}

fn restore(restore: &RestoreProgress) -> Value {
    json!({
        "started_unix_ms": restore.started_unix_ms,
        "records_read": restore.records_read,
        "bytes_read": restore.bytes_read,
        "records_per_second": restore.records_per_second,
        "fraction": restore.fraction,
        "eta_seconds": restore.eta_seconds,
        "bytes_per_second_max": restore.bytes_per_second_max,
        "from_peer": restore.from_peer.as_ref().map(from_peer),
    })
}

fn from_peer(from: &PeerTransfer) -> Value {
    json!({ "peer": from.peer, "bytes": from.bytes, "bytes_total": from.bytes_total })
}

fn digest(digest: &Digest) -> Value {
    let positions = digest.token.iter().flat_map(|token| &token.positions);
    let position =
        |at: &PartitionPosition| json!({ "partition": at.partition, "position": at.position });
    json!({
        "sum": hex(&digest.sum),
        "rows": digest.rows,
        "positions": positions.map(position).collect::<Vec<_>>(),
    })
}
