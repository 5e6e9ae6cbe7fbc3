//! The names of spans and of what they tell. They are a contract with whoever looks for them.

pub(super) const ADMISSION: &str = "admission";
pub(super) const WAIT: &str = "wait";
pub(super) const APPEND: &str = "append";
pub(super) const APPLY: &str = "apply";
pub(super) const READ: &str = "read";
pub(super) const FORWARD: &str = "forward";

pub(super) const STORE: &str = "outrigger.store";
pub(super) const REASON: &str = "outrigger.reason";
pub(super) const CHANGES: &str = "outrigger.changes";
pub(super) const PARTITION: &str = "outrigger.partition";
pub(super) const OFFSET: &str = "outrigger.offset";
pub(super) const PEER: &str = "outrigger.peer";

/// OpenTelemetry's own.
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const RPC_SYSTEM: &str = "rpc.system";
pub(super) const RPC_SERVICE: &str = "rpc.service";
pub(super) const RPC_METHOD: &str = "rpc.method";
pub(super) const RPC_CODE: &str = "rpc.grpc.status_code";

/// The spans with their kinds and all attributes that they may have. The first one is named as its call is.
#[cfg(test)]
pub(super) const ALL: [(&str, &str, &[&str]); 7] = [
    ("SERVICE/METHOD", "server", &[RPC_SYSTEM, RPC_SERVICE, RPC_METHOD, RPC_CODE, STORE, REASON]),
    (ADMISSION, "internal", &[STORE]),
    (WAIT, "internal", &[STORE]),
    (APPEND, "internal", &[STORE, CHANGES, PARTITION, OFFSET, ERROR_TYPE]),
    (APPLY, "internal", &[STORE, PARTITION, OFFSET]),
    (READ, "internal", &[STORE]),
    (FORWARD, "client", &[STORE, PEER, RPC_SYSTEM, RPC_SERVICE, RPC_METHOD, REASON]),
];
