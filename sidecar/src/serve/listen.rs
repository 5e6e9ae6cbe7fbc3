//! The addresses of a sidecar, bound before anything else is touched: one that is taken ends the start.

use std::fs::{self, File, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, UnixSocket};

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
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

pub(super) async fn tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::AddressInUse { address },
        _ => ListenError::Address { address, source },
    })
}

/// Only this user may connect.
pub(super) fn unix(path: &Path) -> Result<(UnixListener, SocketFile), ListenError> {
    remove_stale(path)?;
    let bound = bind_private(path).and_then(|listener| {
        let inode = fs::symlink_metadata(path)?.ino();
        Ok((listener, SocketFile { path: path.to_owned(), inode }))
    });
    bound.map_err(|source| match source.kind() {
        // Another process was quicker.
        io::ErrorKind::AddrInUse => ListenError::SocketInUse { path: path.to_owned() },
        _ => ListenError::Socket { path: path.to_owned(), source },
    })
}

/// Linux gives the file the mode that the socket has when it is bound: there is no moment in which others
/// could connect.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    let same = File::from(socket.as_fd().try_clone_to_owned()?);
    same.set_permissions(Permissions::from_mode(0o600))?;
    socket.bind(path)?;
    socket.listen(BACKLOG)
}

/// A process that was killed leaves its socket's file; nobody answers there.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |source| ListenError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Ok(_) => Err(ListenError::SocketInUse { path: path.to_owned() }),
        Err(error) => Err(failed(error)),
    }
}

impl SocketFile {
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
    use super::*;

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
        let (_listener, file) = unix(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        file.remove();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (live, _file) = unix(&path).unwrap();
        assert!(matches!(unix(&path), Err(ListenError::SocketInUse { .. })));
        drop(live);
        assert!(path.exists(), "as a killed process leaves it");
        let (_listener, _file) = unix(&path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(unix(&path), Err(ListenError::NotASocket { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn the_file_of_a_successor_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (_first, first_file) = unix(&path).unwrap();
        // The successor's socket is bound beside the first, so that both inodes exist.
        let (_second, _file) = unix(&dir.path().join("next")).unwrap();
        fs::rename(dir.path().join("next"), &path).unwrap();
        first_file.remove();
        assert!(path.exists());
    }
}
