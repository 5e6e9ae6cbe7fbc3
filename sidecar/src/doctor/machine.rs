//! The machine: the data directory, its file system, the limits of this user.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use indicatif::HumanBytes;

use super::findings::Findings;
use crate::rocks::{self, DataDir, DataDirError};
use crate::survey::Local;

/// The least limit of open files: a copy of 64 GB has about as many files of 64 MiB, all of them open.
const OPEN_FILES_MIN: u64 = 1_024;

pub(super) enum Data {
    /// Nobody writes to it while it is looked at.
    Quiet,
    Missing,
    /// A running node writes to it, which is the one to ask about its copies.
    InUse,
    Unusable,
}

/// Looks at the data directory. Returns it with what keeps others from writing to it.
pub(super) fn data_directory(local: Local<'_>, findings: &mut Findings) -> (Data, Option<DataDir>) {
    let path = local.data;
    let shown = path.display();
    let (data, held) = match DataDir::look(path) {
        Ok(Some(held)) => (Data::Quiet, Some(held)),
        Ok(None) => {
            findings.good(format!("data directory {shown}: not there yet, `serve` makes it"));
            return (Data::Missing, None);
        }
        Err(DataDirError::InUse { holder, .. }) => {
            findings.good(format!("data directory {shown}: a node runs on it, process {holder}"));
            (Data::InUse, None)
        }
        Err(error) => {
            findings.bad(error.to_string(), "nothing can be served from there");
            return (Data::Unusable, None);
        }
    };
    privacy(path, findings);
    match rocks::free_bytes(path) {
        Ok(free) => space(local, free, findings),
        Err(error) => findings.warn(
            format!("the free space of {shown} cannot be told: {error}"),
            "check that the file system is mounted and that this user may use it",
        ),
    }
    (data, held)
}

/// Warns of a directory that others may look into, as one that was made by hand may be: what is in it is the
/// application's.
fn privacy(path: &Path, findings: &mut Findings) {
    let mode = std::fs::metadata(path).map(|found| found.permissions().mode() & 0o777);
    if let Ok(mode) = mode
        && mode & 0o077 != 0
    {
        findings.warn(
            format!("other users may look into {} (mode {mode:04o})", path.display()),
            "take the right from them: chmod 700",
        );
    }
}

/// Looks at the free space: a rebuild makes a second copy beside the one that it replaces.
fn space(local: Local<'_>, free: u64, findings: &mut Findings) {
    let sizes = local.stores.iter().map(|store| {
        rocks::size_in_use(local.data, store.name.as_str()).ok().flatten().unwrap_or(0)
    });
    let largest = sizes.max().unwrap_or(0);
    let what = format!(
        "{} free in {}, the largest copy takes {}",
        HumanBytes(free),
        local.data.display(),
        HumanBytes(largest)
    );
    if free >= largest.saturating_add(largest / 4) {
        findings.good(what)
    } else {
        findings.warn(what, "free space: a rebuild writes a second copy beside the first")
    }
}

pub(super) fn open_files(findings: &mut Findings) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call only writes the struct, which outlives it.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    match (read, limit.rlim_max) {
        (0, most) if most >= OPEN_FILES_MIN => findings.good(format!("{most} files may be open")),
        (0, most) => findings.warn(
            format!("{most} files may be open: every file of a copy is, one for each 64 MiB"),
            "raise the hard limit (LimitNOFILE= of systemd, ulimit -Hn)",
        ),
        (_, _) => findings.warn(
            format!("the limit of open files cannot be told: {}", io::Error::last_os_error()),
            "see ulimit -Hn",
        ),
    }
}
