//! The addresses of a sidecar, bound before anything else is touched: one that is taken ends the start.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener, UnixSocket};

use crate::config::SocketConfig;

/// The file of a bound socket, removed in an orderly end.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "{address} is in use by another process: stop it, or choose another address with --listen"
    )]
    AddressInUse { address: SocketAddr },
    #[error("cannot listen on {address}: choose another address with --listen")]
    Address { address: SocketAddr, source: io::Error },
    #[error("another process answers on socket {}: stop it, or choose another path with --socket", path.display())]
    SocketInUse { path: PathBuf },
    #[error("{} is there and is no socket: move it away, or choose another path with --socket", path.display())]
    NotASocket { path: PathBuf },
    #[error("cannot listen on socket {}: choose another path with --socket", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error(
        "cannot give socket {} the mode and group that are set: choose another directory with --socket, or others with \
         --socket-mode and --socket-group",
        path.display()
    )]
    Access { path: PathBuf, source: io::Error },
}

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long others who start in the same directory are waited for; each needs a moment.
const TURN_MAX: Duration = Duration::from_secs(5);
const TURN_PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::AddressInUse { address },
        _ => ListenError::Address { address, source },
    })
}

/// Where a start at a socket is. Only a test has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// It waits while another one has its turn.
    Waits,
    FoundStale,
    /// The socket is not listened on yet, so that it looks stale to others.
    Bound,
}

pub(super) async fn unix(socket: &SocketConfig) -> Result<(UnixListener, SocketFile), ListenError> {
    unix_told(socket, async |_| {}).await
}

async fn unix_told(
    socket: &SocketConfig,
    tell: impl AsyncFn(Moment),
) -> Result<(UnixListener, SocketFile), ListenError> {
    let path = &socket.path;
    let failed = |source| ListenError::Socket { path: path.clone(), source };
    let _turn = turn(path, &tell).await.map_err(failed)?;
    if is_stale(path)? {
        tell(Moment::FoundStale).await;
        fs::remove_file(path).map_err(failed)?;
    }
    let (bound, file) = bind_private(path).map_err(|source| match source.kind() {
        // Another process was quicker.
        io::ErrorKind::AddrInUse => ListenError::SocketInUse { path: path.clone() },
        _ => failed(source),
    })?;
    tell(Moment::Bound).await;
    match file.open_to(socket) {
        Ok(()) => Ok((bound.listen(BACKLOG).map_err(failed)?, file)),
        Err(source) => {
            file.remove();
            Err(ListenError::Access { path: path.clone(), source })
        }
    }
}

/// Waits for the turn in which nobody else who starts comes between the look at a stale file, its removal and the new
/// one: of two that find the same stale file, the second would remove the first one's socket. The directory is locked,
/// so that no file is left.
async fn turn(path: &Path, tell: &impl AsyncFn(Moment)) -> io::Result<File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(parent.unwrap_or(Path::new(".")))?;
    let deadline = Instant::now() + TURN_MAX;
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(directory),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                tell(Moment::Waits).await;
                tokio::time::sleep(TURN_PAUSE).await;
            }
            Err(TryLockError::WouldBlock) => {
                let held = "another process holds a lock on its directory";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, held));
            }
            Err(TryLockError::Error(source)) => return Err(source),
        }
    }
}

/// Binds a socket whose file is this user's alone from the beginning: Linux gives it the mode that the socket has when
/// it is bound. Nobody connects before it is listened on.
fn bind_private(path: &Path) -> io::Result<(UnixSocket, SocketFile)> {
    let socket = UnixSocket::new_stream()?;
    let same = File::from(socket.as_fd().try_clone_to_owned()?);
    same.set_permissions(Permissions::from_mode(0o600))?;
    socket.bind(path)?;
    let inode = fs::symlink_metadata(path)?.ino();
    Ok((socket, SocketFile { path: path.to_owned(), inode }))
}

/// Whether nobody answers at the file: a process that was killed leaves its socket's file.
fn is_stale(path: &Path) -> Result<bool, ListenError> {
    let failed = |source| ListenError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    }
    match try_connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        // A socket whose backlog is full is in use as well: a connection would have to wait for a place.
        Ok(()) => Err(ListenError::SocketInUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(ListenError::SocketInUse { path: path.to_owned() })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Tries to connect, and does not wait.
fn try_connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

impl SocketFile {
    /// Lets others connect. The group comes first: the mode is for it alone. Both go to the file that was made,
    /// whatever has its path meanwhile.
    fn open_to(&self, socket: &SocketConfig) -> io::Result<()> {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        if file.metadata()?.ino() != self.inode {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another file has its path"));
        }
        let file_itself = format!("/proc/self/fd/{}", file.as_raw_fd());
        if let Some(group) = socket.group {
            chown(&file_itself, None, Some(group))?;
        }
        fs::set_permissions(&file_itself, Permissions::from_mode(socket.mode))
    }

    /// Removes the file, unless another process has put its own there.
    pub(super) fn remove(self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    async fn private(path: &Path) -> Result<(UnixListener, SocketFile), ListenError> {
        unix(&SocketConfig::private(path.to_owned())).await
    }

    #[tokio::test]
    async fn a_port_in_use_is_refused_by_address() {
        let held = tcp(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = held.local_addr().unwrap();
        let refused = tcp(address).await.unwrap_err();
        assert!(
            matches!(refused, ListenError::AddressInUse { address: taken } if taken == address),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn the_socket_belongs_to_this_user_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (_listener, file) = private(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        file.remove();
        assert!(!path.exists());
    }

    /// The mode is what the operator says, whatever this process takes from the files that it makes.
    #[tokio::test]
    async fn the_socket_has_the_mode_and_the_group_that_are_set() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let group = fs::metadata(dir.path()).unwrap().gid();
        let socket = SocketConfig { path: path.clone(), mode: 0o666, group: Some(group) };
        let (_listener, _file) = unix(&socket).await.unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.permissions().mode() & 0o777, found.gid()), (0o666, group));
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (live, _file) = private(&path).await.unwrap();
        assert!(matches!(private(&path).await, Err(ListenError::SocketInUse { .. })));
        drop(live);
        assert!(path.exists(), "as a killed process leaves it");
        let (_listener, _file) = private(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_live_socket_whose_backlog_is_full_is_in_use_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let address = SockAddr::unix(&path).unwrap();
        busy.bind(&address).unwrap();
        busy.listen(1).unwrap();
        let mut waiting = Vec::new();
        loop {
            let caller = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            caller.set_nonblocking(true).unwrap();
            match caller.connect(&address) {
                Ok(()) => waiting.push(caller),
                Err(full) => break assert_eq!(full.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert!(matches!(private(&path).await, Err(ListenError::SocketInUse { .. })));
        assert!(path.exists());
    }

    /// In either moment another start would remove the first one's socket.
    #[tokio::test]
    async fn of_two_that_start_at_a_stale_socket_one_waits_and_the_other_can_be_reached() {
        for held_at in [Moment::FoundStale, Moment::Bound] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("s");
            drop(private(&path).await.unwrap());
            assert!(path.exists(), "as a killed process leaves it");
            let socket = SocketConfig::private(path.clone());
            let (is_there, goes_on) = (Notify::new(), Notify::new());
            let first = unix_told(&socket, async |moment| {
                if moment == held_at {
                    is_there.notify_one();
                    goes_on.notified().await;
                }
            });
            let second = async {
                is_there.notified().await;
                let waits = async |moment| {
                    assert_eq!(moment, Moment::Waits, "while the first is at {held_at:?}");
                    goes_on.notify_one();
                };
                unix_told(&socket, waits).await
            };
            let (first, second) = tokio::join!(first, second);
            let _first = first.unwrap();
            assert!(matches!(second, Err(ListenError::SocketInUse { .. })), "{second:?}");
            try_connect(&path).expect("the one that has it is at its path");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(private(&path).await, Err(ListenError::NotASocket { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn the_file_of_a_successor_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (_first, first_file) = private(&path).await.unwrap();
        // The successor's socket is bound beside the first, so that both inodes exist.
        let (_second, _file) = private(&dir.path().join("next")).await.unwrap();
        fs::rename(dir.path().join("next"), &path).unwrap();
        first_file.remove();
        assert!(path.exists());
    }
}
