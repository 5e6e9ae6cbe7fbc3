//! Incoming connections, over TCP and Unix sockets: bounded in number, and cut when the server's time is up.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// Connections at the same time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;

/// After a failed accept (no file descriptors left, say): a loop that fails at once would eat a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that is bound and listens.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// One caller's connection.
pub(super) struct Connection {
    socket: Box<dyn Socket>,
    /// Ends it whatever it is doing.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// Accepts as long as the returned set of tasks is kept. `cut` ends all connections.
pub(super) fn accept(
    listeners: Vec<Listener>,
    cut: &CancellationToken,
) -> (ReceiverStream<io::Result<Connection>>, JoinSet<()>) {
    let (sender, incoming) = mpsc::channel(1);
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut tasks = JoinSet::new();
    for listener in listeners {
        tasks.spawn(accept_from(listener, sender.clone(), permits.clone(), cut.clone()));
    }
    (ReceiverStream::new(incoming), tasks)
}

async fn accept_from(
    listener: Listener,
    incoming: mpsc::Sender<io::Result<Connection>>,
    permits: Arc<Semaphore>,
    cut: CancellationToken,
) {
    loop {
        let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok(socket) => {
                let cut = Box::pin(cut.clone().cancelled_owned());
                let connection = Connection { socket, cut, _permit: permit };
                if incoming.send(Ok(connection)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Socket>> {
        match self {
            Listener::Tcp(listener) => {
                let (socket, _caller) = listener.accept().await?;
                // Answers are small and awaited: waiting for more to send with them only delays them.
                socket.set_nodelay(true)?;
                Ok(Box::new(socket))
            }
            Listener::Unix(listener) => {
                let (socket, _caller) = listener.accept().await?;
                Ok(Box::new(socket))
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // An HTTP/2 connection always has a read pending, so this wakes it.
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
