//! The client of Outrigger: typed calls to the node beside the application.
//!
//! ```no_run
//! # async fn example() -> Result<(), outrigger_client::Error> {
//! let client = outrigger_client::Client::connect("http://127.0.0.1:7400").await?;
//! let notes = client.store("notes");
//! notes.put("greeting", "hello").await?;
//! let greeting = notes.get("greeting").await?.expect("a session reads its own writes");
//! assert_eq!(greeting.value, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! - **Sessions.** A [`Store`] handle reads its own writes and never goes back in time, on whatever
//!   node it reads; its [`Token`] moves the session to another process.
//! - **Failures.** [`Error::kind`] says what to do next, and [`Error::may_have_happened`] whether a
//!   write may have taken effect all the same.
//! - **No retries.** The library sends every call once. Whether a call may be repeated depends on
//!   what it means: repeating a write whose outcome is unknown can undo a write that another process
//!   made in between, so one call would have two effects. Only the application knows; it gets
//!   everything that the decision needs. A lost connection is made again by the next call.
//! - **Streams.** A node takes a bounded number of calls through one connection; where writers, scans and watches use it up,
//!   the library opens another one.

mod address;
mod client;
mod connections;
mod error;
mod pinned;
mod read;
mod scan;
mod session;
mod status;
mod store;
mod token;
mod writer;

pub use client::Client;
pub use error::{Error, ErrorKind};
pub use outrigger_proto as proto;
pub use outrigger_proto::v1::{NodeStatus, Reason, Revision, StoreStatus};
pub use pinned::Pinned;
pub use read::{CopyState, Entry, Level, Read};
pub use scan::{Row, Rows, Scan};
pub use status::StatusStream;
pub use store::Store;
pub use token::{InvalidToken, Token};
pub use writer::{Pending, Writer};
