//! The store seam on RocksDB: one directory per store, one database per generation.
//!
//! ```text
//! <data>/LOCK                      one process per data directory   (data_dir)
//! <data>/<store>/IDENTITY          what the copy belongs to         (identity)
//! <data>/<store>/CURRENT           the generation in use            (directory)
//! <data>/<store>/g<N>/             a database, with FORMAT          (generation, row, lineage)
//! <data>/<store>/g<N>/load/        what is read but not taken in    (load, writers)
//! <data>/<store>/fetching-g<N>/    a peer's checkpoint, with OWNER, until it is adopted
//! <data>/<store>/quarantined-g<N>/ set aside, with WHY, until an operator drops it
//! <data>/<store>/giving-<id>/      hard links that a peer reads       (checkpoint)
//! <data>/<store>/lost-g<N>.jsonl   what the log lost of that       (lost)
//! <data>/<store>/RESEED            how far a copy was written into a new topic (progress)
//! ```
//!
//! There is no write-ahead log, for the topic is one: what is not flushed is read again. Nothing here
//! decides anything; [`store::RocksStore`] carries calls out in order and says what came of them.

mod checkpoint;
mod closing;
mod data_dir;
mod directory;
mod error;
#[expect(unsafe_code, reason = "the room on a disk is asked of C")]
pub(crate) mod files;
mod generation;
mod identity;
mod inspect;
mod latest;
mod lineage;
mod load;
mod lost;
mod merge;
mod moves;
mod options;
mod progress;
mod remover;
mod retention;
mod row;
mod source;
mod store;
mod tuning;
#[expect(unsafe_code, reason = "a snapshot is kept beside the database that it borrows")]
mod view;
mod why;
mod writers;

pub use checkpoint::{Checkpoint, CheckpointFile, FORMAT};
pub use closing::Closing;
pub use data_dir::{DataDir, DataDirError};
pub(crate) use directory::OWNER;
pub use directory::Quarantined;
pub use files::{Room, free_bytes, room};
pub use inspect::{
    begin_fetch, drop_quarantined, identity, inspect, owner, quarantined, reset, set_aside_bytes,
    size_in_use, size_of,
};
pub use lost::{LostFile, LostRows, lost_file, lost_files, unreported, write_lost};
pub use options::{Resources, Shared};
pub use progress::Progress;
pub use source::{Source, SourceError};
pub use store::RocksStore;
pub use view::{GenerationViews, InMemory, PinnedView, RocksView};
