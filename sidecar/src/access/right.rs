//! The rights that there are, and the one that each call needs.

use std::fmt;

use outrigger_proto::Rpc;

/// What a rule may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Rows, and what is made of them.
    Read,
    /// Puts and deletes.
    Write,
    /// Changes as they come, the rows that they begin with, and the cursors that say how far somebody is.
    Watch,
    /// What operators do to a store.
    Admin,
    /// Whole copies as files, the reads that other nodes forward, how this one is, digests: for nodes.
    Peer,
}

/// What a call needs of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// This right, for each store that the call is about, and for all keys that it names.
    Right(Right),
    /// Any right on each store that it shows.
    Any,
}

/// Returns what a call needs. It names each of them, so that a new one is not there without a rule.
pub fn needs(rpc: Rpc) -> Needs {
    match rpc {
        Rpc::Get | Rpc::Scan | Rpc::Verify => Needs::Right(Right::Read),
        // Whoever moves a cursor decides what others are not told again: who only reads must not.
        Rpc::Watch | Rpc::CommitCursor | Rpc::GetCursor | Rpc::ListCursors | Rpc::DeleteCursor => {
            Needs::Right(Right::Watch)
        }
        // An application that writes is whom a node waits for.
        Rpc::Put | Rpc::Delete | Rpc::Write | Rpc::Release => Needs::Right(Right::Write),
        Rpc::Throttle | Rpc::Cancel | Rpc::Continue => Needs::Right(Right::Admin),
        Rpc::Checkpoint
        | Rpc::ForwardGet
        | Rpc::ForwardScan
        | Rpc::PeerStatus
        | Rpc::PeerDigest => Needs::Right(Right::Peer),
        Rpc::Status | Rpc::WatchStatus => Needs::Any,
    }
}

impl Right {
    pub const ALL: [Right; 5] =
        [Right::Read, Right::Write, Right::Watch, Right::Admin, Right::Peer];

    pub fn name(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Write => "write",
            Right::Watch => "watch",
            Right::Admin => "admin",
            Right::Peer => "peer",
        }
    }

    pub fn of(name: &str) -> Option<Right> {
        Right::ALL.into_iter().find(|right| right.name() == name)
    }

    /// Whether the right can be given for some keys alone.
    pub fn is_of_keys(self) -> bool {
        match self {
            Right::Read | Right::Write | Right::Watch => true,
            Right::Admin | Right::Peer => false,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
