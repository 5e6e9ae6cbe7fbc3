//! The sizes that both ends of the protocol keep to.
//!
//! gRPC's default, 4 MiB in both directions, is set explicitly where it is meant and widened where
//! it would break a promise: a record that another tool wrote to the topic is served whatever its
//! size, so what a client receives is bounded far above what it may send.

/// The largest key that a write may have, unless the node says otherwise.
pub const KEY_BYTES_MAX: usize = 32 * KIB;

/// The largest value that a write may have, unless the node says otherwise. With the largest key it
/// fits the record batches that a topic takes by default (`max.message.bytes`, 1 MiB).
pub const VALUE_BYTES_MAX: usize = 960 * KIB;

/// The largest request message: what a server accepts, and what a client refuses to send.
pub const REQUEST_BYTES_MAX: usize = 4 * MIB;

/// The most bytes of keys and values that one request can carry: the rest is for the store's name, a token and framing.
/// It is well above the largest write, so that a value that is too large is still carried to the node and refused by
/// name.
pub const PAYLOAD_BYTES_MAX: usize = REQUEST_BYTES_MAX - 64 * KIB;

/// The largest response message: what a client accepts, and what a server refuses to send.
///
/// Above [`BATCH_BYTES`] a response holds one foreign record, whose size is the broker's to limit
/// (1 MiB unless configured). This bounds one allocation, made only when such a record exists.
pub const RESPONSE_BYTES_MAX: usize = 128 * MIB;

/// The largest row, key and value together, for a caller that does not say what it takes: in a message
/// with everything around it, it stays below the 4 MiB that gRPC libraries receive by default.
pub const ROW_BYTES_DEFAULT: usize = 4 * MIB - AROUND_BYTES;

/// The largest row that a caller may ask for.
pub const ROW_BYTES_MAX: usize = RESPONSE_BYTES_MAX - AROUND_BYTES;

/// What a response holds beside its rows: above all a token, with some 20 bytes for each partition.
const AROUND_BYTES: usize = 256 * KIB;

/// The bytes of keys and values after which a message of a stream (rows, items) is sent. A larger
/// row or item travels alone.
pub const BATCH_BYTES: usize = 256 * KIB;

/// The most rows or items in one message of a stream.
pub const BATCH_LEN_MAX: usize = 1_000;

/// The most items of one message of a Write stream. A client that sends a batch when it is full has a sixteenth of
/// them.
pub const ITEMS_MAX: usize = 16_000;

/// What a chunk of a checkpoint holds, unless it ends its file.
pub const CHUNK_BYTES: usize = MIB;

/// The most files of a checkpoint: with 64 MiB each, 2 TiB. Their list is one message.
pub const CHECKPOINT_FILES_MAX: usize = 32_768;

/// The longest name of a checkpoint's file. RocksDB's have some 20 bytes.
pub const CHECKPOINT_NAME_BYTES_MAX: usize = 64;

/// The largest message of a checkpoint's stream: what a node accepts from its peer.
pub const CHECKPOINT_MESSAGE_BYTES_MAX: usize = 4 * MIB;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

// Each name goes with its length, the file's size and their tags.
const _: () = assert!(
    CHECKPOINT_FILES_MAX * (CHECKPOINT_NAME_BYTES_MAX + 24) + KIB <= CHECKPOINT_MESSAGE_BYTES_MAX
);
const _: () = assert!(CHUNK_BYTES + KIB <= CHECKPOINT_MESSAGE_BYTES_MAX);
const _: () = assert!(KEY_BYTES_MAX + VALUE_BYTES_MAX + KIB <= MIB);
const _: () = assert!(KEY_BYTES_MAX + VALUE_BYTES_MAX <= PAYLOAD_BYTES_MAX);
const _: () = assert!(BATCH_BYTES <= PAYLOAD_BYTES_MAX);
const _: () = assert!(BATCH_LEN_MAX <= ITEMS_MAX && ITEMS_MAX == 16_000);
const _: () = assert!(REQUEST_BYTES_MAX < RESPONSE_BYTES_MAX);
const _: () = assert!(KEY_BYTES_MAX + VALUE_BYTES_MAX <= ROW_BYTES_DEFAULT);
const _: () = assert!(BATCH_BYTES <= ROW_BYTES_DEFAULT && ROW_BYTES_DEFAULT <= ROW_BYTES_MAX);
// The .proto file names these numbers.
const _: () = assert!(KEY_BYTES_MAX == 32 * KIB && VALUE_BYTES_MAX == 960 * KIB);
const _: () = assert!(REQUEST_BYTES_MAX == 4 * MIB && RESPONSE_BYTES_MAX == 128 * MIB);
const _: () = assert!(ROW_BYTES_DEFAULT == 3 * MIB + 768 * KIB);
const _: () = assert!(ROW_BYTES_MAX == 127 * MIB + 768 * KIB);
const _: () = assert!(BATCH_BYTES == 256 * KIB && BATCH_LEN_MAX == 1_000);
const _: () = assert!(CHUNK_BYTES == MIB && CHECKPOINT_FILES_MAX == 32_768);
