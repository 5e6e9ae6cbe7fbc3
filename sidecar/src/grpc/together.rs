//! Answers that are ready at the same time are sent with one write.
//!
//! A connection's task is woken by the first answer of many, ahead of the handlers that are about to give the others,
//! and would send each for itself: most of what an empty call costs. So it lets them go first, once for each time that
//! it has something to send. Nobody waits for time to pass: where no handler is ready it sends at once.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The socket of HTTP/2, which gathers frames as long as its socket does not take any.
pub(super) struct Together<S> {
    socket: S,
    turn: Turn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It is the turn of those who may have more to send.
    Others,
    /// It is the turn of this connection, until all is sent that was to be sent.
    Own,
}

impl<S> Together<S> {
    pub(super) fn new(socket: S) -> Together<S> {
        Together { socket, turn: Turn::Others }
    }

    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.turn {
            Turn::Own => Poll::Ready(()),
            Turn::Others => {
                self.turn = Turn::Own;
                // A task that is woken while it runs is polled again behind all that are ready.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Together<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Together<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context));
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context));
        Pin::new(&mut self.socket).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.turn = Turn::Others;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::mpsc;

    use super::*;

    /// Sends as HTTP/2 does: it gathers what is there whenever it is woken, and writes all of it.
    async fn send(mut answers: mpsc::UnboundedReceiver<u8>, mut socket: impl AsyncWrite + Unpin) {
        let mut gathered = Vec::new();
        let gather_and_write = std::future::poll_fn(|context| {
            while let Poll::Ready(Some(answer)) = answers.poll_recv(context) {
                gathered.push(answer);
            }
            if gathered.is_empty() {
                return Poll::Pending;
            }
            Pin::new(&mut socket).poll_write(context, &gathered)
        });
        let written = gather_and_write.await.expect("its reader is there");
        assert_eq!(written, gathered.len(), "it fits");
    }

    #[tokio::test]
    async fn what_others_have_ready_goes_with_the_first() {
        let (near, mut far) = tokio::io::duplex(64);
        let (sender, answers) = mpsc::unbounded_channel();
        let sending = tokio::spawn(send(answers, Together::new(near)));
        tokio::task::yield_now().await;
        for answer in 0..8 {
            let sender = sender.clone();
            tokio::spawn(async move { sender.send(answer).expect("it is received") });
        }
        let mut bytes = [0; 64];
        assert_eq!(far.read(&mut bytes).await.expect("it was written"), 8);
        sending.await.expect("no panic");
    }

    #[tokio::test]
    async fn what_is_to_be_sent_is_sent_to_its_end_in_one_turn() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut socket = Together::new(near);
        socket.write_all(b"part").await.expect("it is taken");
        assert_eq!(socket.turn, Turn::Own, "there may be more");
        socket.write_all(b"and part").await.expect("it is taken");
        socket.flush().await.expect("it is taken");
        assert_eq!(socket.turn, Turn::Others);
        drop(socket);
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.expect("it was written");
        assert_eq!(all, b"partand part");
    }
}
