//! What is known of a call before its message is read: its path says what it asks for.

use outrigger_proto::Rpc;

const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Bytes that a request of calls other than writes may have: a key, a range, a token. Lists of small things grow when
/// they are decoded.
const SMALL_REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that a decoded request takes for each that it was sent as, at most.
const SMALL_REQUEST_GROWTH: usize = 16;

const CALL_BYTES: usize = 8 * 1024;

/// Bytes of an open stream of writes. One message of replies is among them, which must not wait for the room that is
/// held by the writes that it answers.
const WRITES_BYTES: usize = 256 * 1024;

/// Bytes of an answer that count as a part of its call: most answers, and all that tell what came of a single write.
const SMALL_ANSWER_BYTES: usize = 4 * 1024;

/// Bytes of any message of a watch, but for rows that are larger than a node writes them.
const WATCHED_BYTES: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Get, also one that another node has forwarded.
    Read,
    /// Put, Delete.
    Write,
    /// A stream of writes.
    Writes,
    /// Scan, also a forwarded one, and WatchStatus: they answer until there is no more to tell.
    Stream,
    /// Watch: it answers for ever, and its caller may take its time.
    Watch,
    /// A stream of questions and answers.
    Verify,
    /// What changes a cursor: the log answers it.
    Cursor,
    /// Throttle, cancel, continue and release, which are about the node and seldom called.
    Operate,
    /// Health: it must be answered when nothing else is.
    Probe,
    /// Everything else: status, peers, reflection.
    Other,
}

impl Method {
    /// `rpc`: that of the path.
    pub(super) fn of(path: &str, rpc: Option<Rpc>) -> Method {
        match rpc {
            Some(rpc) => Method::of_rpc(rpc),
            None if path == HEALTH => Method::Probe,
            None => Method::Other,
        }
    }

    fn of_rpc(rpc: Rpc) -> Method {
        match rpc {
            Rpc::Get | Rpc::ForwardGet => Method::Read,
            Rpc::Put | Rpc::Delete => Method::Write,
            Rpc::Write => Method::Writes,
            Rpc::Scan | Rpc::WatchStatus | Rpc::ForwardScan => Method::Stream,
            Rpc::Watch => Method::Watch,
            Rpc::CommitCursor | Rpc::DeleteCursor => Method::Cursor,
            Rpc::Verify => Method::Verify,
            Rpc::Throttle | Rpc::Cancel | Rpc::Continue | Rpc::Release => Method::Operate,
            Rpc::GetCursor
            | Rpc::ListCursors
            | Rpc::Status
            | Rpc::Checkpoint
            | Rpc::PeerStatus
            | Rpc::PeerDigest => Method::Other,
        }
    }

    /// Returns the bytes that an open call takes, whatever it carries: its stream, headers, task and buffers.
    pub(super) fn call_cost(self) -> usize {
        match self {
            Method::Writes => WRITES_BYTES,
            Method::Read
            | Method::Write
            | Method::Stream
            | Method::Watch
            | Method::Verify
            | Method::Cursor
            | Method::Operate
            | Method::Probe
            | Method::Other => CALL_BYTES,
        }
    }

    /// Returns the bytes of a message of its answer that need no room: they count as a part of the call, or of what is bounded
    /// by the number of such calls.
    pub(super) fn answer_bytes_free(self) -> usize {
        match self {
            Method::Writes => usize::MAX,
            // Whoever takes nothing of a watch must not keep the room from others. There is one message, and few watches.
            Method::Watch => WATCHED_BYTES,
            Method::Read
            | Method::Write
            | Method::Stream
            | Method::Verify
            | Method::Cursor
            | Method::Operate
            | Method::Probe
            | Method::Other => SMALL_ANSWER_BYTES,
        }
    }

    /// Whether its answer may have more than one message.
    pub(super) fn streams(self) -> bool {
        match self {
            Method::Writes | Method::Stream | Method::Watch | Method::Verify => true,
            Method::Read
            | Method::Write
            | Method::Cursor
            | Method::Operate
            | Method::Probe
            | Method::Other => false,
        }
    }

    /// Whether its caller may have nothing to send for a while.
    pub(super) fn asks_on(self) -> bool {
        match self {
            Method::Writes | Method::Verify => true,
            Method::Read
            | Method::Write
            | Method::Stream
            | Method::Watch
            | Method::Cursor
            | Method::Operate
            | Method::Probe
            | Method::Other => false,
        }
    }

    /// Returns what a message of this many bytes takes until it is judged. None: no such message is legal.
    pub(super) fn cost(self, bytes: usize) -> Option<usize> {
        match self {
            // Keys and values are parts of what was received; how many items there may be is bounded when they are
            // decoded.
            Method::Write | Method::Writes => Some(bytes),
            Method::Read
            | Method::Stream
            | Method::Watch
            | Method::Verify
            | Method::Cursor
            | Method::Operate
            | Method::Probe
            | Method::Other => {
                (bytes <= SMALL_REQUEST_BYTES_MAX).then_some(bytes * SMALL_REQUEST_GROWTH)
            }
        }
    }
}
