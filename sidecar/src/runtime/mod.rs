//! Everything that runs the nodes of a process: their thread, their disks, their clocks, their doors.
//!
//! ```text
//! handlers -> StoreHandle -> inbox -> core thread (all nodes) -> Log
//!    ^            |            ^           |  `-> disk threads (each store on one)
//!    |   views    | gate       '-----------+---- answers of both
//!    '------------'<-----------------------'         (and of peers, which tasks ask)
//! ```
//!
//! Every bound is taken before something enters: a command holds an admission permit until it is answered
//! (writes by bytes, waiting reads by number), and whatever else comes in answers a call that a node made,
//! of which it has few. So no queue in here is bounded by its length, and none can fill or block another.

mod admission;
mod beside;
mod circumstances;
#[expect(unsafe_code, reason = "the clock that runs while a machine sleeps is C's")]
pub mod clock;
mod cursors;
mod disk_times;
mod disks;
mod door;
mod feed;
mod handle;
mod inbox;
#[cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "the priority of one thread is set in C")
)]
mod lost;
mod machine;
mod notices;
mod peers;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
mod threads;
mod throttle;

pub use admission::WRITE_BYTES_MAX;
pub use beside::LogBeside;
pub use circumstances::{Circumstances, LogHome, Told, TopicNews};
pub use cursors::{CursorFailure, CursorShown, Listed};
pub use disk_times::DiskShown;
pub use handle::{PendingWrite, PinnedCopy, Read, ReadError, State, StoreHandle, Written};
pub use snapshot::Snapshot;
pub use threads::{Drained, Inbox, Runtime, RuntimeConfig, StoreSpec};
pub use throttle::RestoreThrottle;
