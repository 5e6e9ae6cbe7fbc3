#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! [`Client::connect`] makes a connection, [`Client::store`] a [`Store`]: a handle on one store, and a
//! session. [`Store::scan`] reads a range of keys, [`Store::writer`] opens a stream of writes,
//! [`Store::watch`] tells what changes, a [`Cursor`] keeps where somebody was, and [`Store::cache`] keeps a typed map in
//! memory.
//! [`Error`] and [`ErrorKind`] say what a failure means.
//!
//! A node takes a bounded number of calls through one connection; where writers, scans and watches use it
//! up, the library opens another one.
//!
//! # What is promised of the types of others
//!
//! - **Messages of the protocol** that the API hands out as they are: [`NodeStatus`], [`StoreStatus`],
//!   [`Reason`] and [`Revision`] here, and in [`wire`] all that they are made of. They are wide, change
//!   with the node, and a copy of each would say the same thing twice. They are promised as the protocol
//!   is: fields and values are added in patch versions, nothing else. So build them with
//!   `..Default::default()`, and give each `match` an arm for values to come.
//! - **`bytes::Bytes`** of keys, values and tokens, and **`tokio_stream::Stream`** of [`Rows`] and
//!   [`StatusStream`]. A new major version of either is a minor version of this crate before 1.0, and a
//!   major one after it.
//! - **Everything else is wrapped.** `tonic` and `prost` are an affair of the inside: the status of a
//!   failed call is the [source](std::error::Error::source) of an [`Error`], for people to read. Conversions
//!   of a [`Token`] into the protocol's and back, and the module [`proto`] as a whole, are for tools that
//!   speak the protocol themselves; they change with those libraries and are not promised.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod address;
mod bearer;
mod cache;
mod client;
mod connections;
mod cursor;
mod error;
mod pinned;
mod read;
mod scan;
mod session;
mod status;
mod store;
mod tls;
mod token;
mod trace;
mod watch;
mod writer;

pub use cache::{Cache, CacheError, Snapshot, Undecodable};
pub use client::{Client, Released};
pub use cursor::{Cursor, CursorState};
pub use error::{Error, ErrorKind};
/// The protocol itself, generated code included. It is outside of what this crate promises.
pub use outrigger_proto as proto;
pub use outrigger_proto::v1::{NodeStatus, Reason, Revision, StoreStatus};
pub use pinned::Pinned;
pub use read::{CopyState, Entry, Level, Read};
pub use scan::{Row, Rows, Scan};
pub use status::StatusStream;
pub use store::Store;
pub use tls::{Tls, TlsConnection, TlsConnector, TlsError};
pub use token::{AnotherTopic, InvalidToken, Token};
pub use watch::{Change, InvalidPoint, Watch, WatchEvent, WatchPoint, WatchStream};
pub use writer::{Pending, Writer};

/// The messages and enums that a status and a pinned copy are made of, as the protocol has them.
pub mod wire {
    pub use outrigger_proto::v1::{
        BucketSum, Cause, Digest, PartitionPosition, PartitionStatus, PeerTransfer, Phase,
        PinnedRow, RestoreCause, RestoreProgress, Stall, StallKind, Token, cause,
    };
}
