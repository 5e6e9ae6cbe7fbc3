//! The Unix socket: where it is, and whom its file lets connect.

use std::num::ParseIntError;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::Group;
use socket2::{Domain, Socket, Type};

use super::problem::Problem;
use super::settings::Settings;

/// Bytes of Linux's `sockaddr_un.sun_path` without its final NUL.
const PATH_BYTES_MAX: usize = 107;

const MODE_DEFAULT: u32 = 0o600;

/// The bits of users, groups and others; a socket has no use for the other bits of a mode.
const MODE_MAX: u32 = 0o777;

/// The group that the system takes for "leave the group as it is".
const NO_GROUP: u32 = u32::MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    pub path: PathBuf,
    /// The mode of its file: at most 0777. Whoever may write to it may connect.
    pub mode: u32,
    /// The group of its file; none: the group of whoever starts the node.
    pub group: Option<u32>,
}

impl SocketConfig {
    /// Makes a socket that is for this user alone.
    pub fn private(path: PathBuf) -> SocketConfig {
        SocketConfig { path, mode: MODE_DEFAULT, group: None }
    }

    pub(super) fn others_may_connect(&self) -> bool {
        self.mode & 0o002 != 0
    }
}

pub(super) fn resolve(settings: &Settings, problems: &mut Vec<Problem>) -> Option<SocketConfig> {
    let Settings { socket, socket_mode, socket_group, .. } = settings;
    let Some(path) = socket else {
        let given =
            [("socket_mode", socket_mode.is_some()), ("socket_group", socket_group.is_some())];
        let alone = given.into_iter().filter(|(_, given)| *given);
        problems.extend(alone.map(|(setting, _)| Problem::SocketMissing { setting }));
        return None;
    };
    check_path(path, problems);
    let said = socket_mode.as_deref().map(|text| mode(text, problems));
    let mode = said.unwrap_or(Some(MODE_DEFAULT));
    let group = socket_group.as_deref().and_then(|group| self::group(group, problems));
    if socket_group.is_some() && mode.is_some_and(|mode| mode & 0o020 == 0) {
        problems.push(Problem::SocketGroupShutOut);
    }
    Some(SocketConfig { path: path.clone(), mode: mode.unwrap_or(MODE_DEFAULT), group })
}

fn check_path(path: &Path, problems: &mut Vec<Problem>) {
    let length = path.as_os_str().as_bytes().len();
    if length == 0 {
        problems.push(Problem::SocketEmpty);
        return;
    }
    if length > PATH_BYTES_MAX {
        let limit = PATH_BYTES_MAX;
        problems.push(Problem::SocketTooLong { path: path.to_owned(), length, limit });
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    if !directory.is_dir() {
        problems.push(Problem::SocketDirectory { directory: directory.to_owned() });
    }
    // A socket left by a crashed process is replaced later; anything else is somebody's file.
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        problems.push(Problem::SocketTaken { path: path.to_owned() });
    }
}

/// Reads a mode. A right to read or to execute lets nobody connect, so a mode that gives one without the right to write
/// was meant to do what it does not.
fn mode(text: &str, problems: &mut Vec<Problem>) -> Option<u32> {
    let value = text.to_owned();
    let Some(mode) = octal(text) else {
        problems.push(Problem::SocketMode { value });
        return None;
    };
    let classes = [mode >> 6 & 0o7, mode >> 3 & 0o7, mode & 0o7];
    let may_connect = |class: u32| class & 0o2 != 0;
    if !classes.into_iter().any(may_connect) {
        problems.push(Problem::SocketModeNobody { value });
    } else if classes.into_iter().any(|class| class != 0 && !may_connect(class)) {
        problems.push(Problem::SocketModeUseless { value });
    }
    Some(mode)
}

fn octal(text: &str) -> Option<u32> {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| digits)?;
    (mode <= MODE_MAX).then_some(mode)
}

fn group(text: &str, problems: &mut Vec<Problem>) -> Option<u32> {
    let group = text.to_owned();
    match group_id(text) {
        Ok(Some(id)) => match may_give(id) {
            Ok(()) => return Some(id),
            Err(error) => problems.push(Problem::SocketGroupForbidden { group, error }),
        },
        Ok(None) => problems.push(Problem::SocketGroupUnknown { group }),
        Err(error) => problems.push(Problem::SocketGroupUnreadable { group, error: error.into() }),
    }
    None
}

/// Returns the group's number; none: there is no such group. A number need not be in the machine's list: in containers
/// it seldom is.
fn group_id(text: &str) -> Result<Option<u32>, nix::Error> {
    let number: Result<u32, ParseIntError> = text.parse();
    match number {
        Ok(id) => Ok(Some(id).filter(|id| *id != NO_GROUP)),
        Err(_no_number) => Ok(Group::from_name(text)?.map(|group| group.gid.as_raw())),
    }
}

/// Tries to give a socket to the group: one that has no file, so that nothing is left of it.
fn may_give(group: u32) -> std::io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    fchown(&socket, None, Some(group))
}
