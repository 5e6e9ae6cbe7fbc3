//! One connection: HTTP/2 on a socket, from its preface to its end, which is in order wherever somebody may wait.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Use, WornOut};
use super::call::Calls;
use super::listen::Socket;
use super::together::Together;
use crate::access::Caller;
use crate::tls::{Shown, TlsServer};

/// What a caller may send ahead of us and ask for at the same time, in bytes and calls. All of it is memory that a
/// caller may simply take, so that only the first connections have much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    stream: u32,
    /// Bytes of all streams together. A few full streams must not starve the others.
    connection: u32,
    /// Bytes of a frame. Large frames are few: what one write or read brings is handled at once.
    frame: u32,
    calls: u32,
}

impl Windows {
    pub(super) const WIDE: Windows = Windows {
        stream: 256 * 1024,
        connection: 2 * 1024 * 1024,
        frame: 256 * 1024,
        calls: 1_024,
    };
    /// The windows that HTTP/2 itself gives.
    pub(super) const NARROW: Windows =
        Windows { stream: 65_535, connection: 65_535, frame: 16_384, calls: 128 };
}

/// Bytes of the headers of one call: a token of many partitions travels in the message, a Bearer token in a kilobyte.
const HEADERS_BYTES_MAX: u32 = 8 * 1024;

/// What HTTP/2 takes of a stream's answer before it asks whether the caller does.
const SEND_BYTES: usize = 64 * 1024;

/// How often it is asked whether the caller is there: one whose machine vanished must not keep its streams and
/// snapshots.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that is to end may take to say goodbye after its last answer; a caller that takes longer is
/// cut off.
const LEAVE_MAX: Duration = Duration::from_millis(250);

/// How often the wall clock is looked at for the end of a caller's certificate.
const CLOCK_EVERY: Duration = Duration::from_secs(10);

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Its caller ended it, or the node ends.
    Ended,
    WornOut(WornOut),
    /// Another one needed its place.
    Displaced,
    /// No TLS came of it, and why.
    Handshake(String),
    /// The certificate that its caller showed has ended.
    Expired,
}

impl Closed {
    /// The name of a connection whose handshake came to nothing.
    pub(super) const HANDSHAKE: &str = "handshake";

    /// What it is called where it was our choice.
    pub(super) fn name(&self) -> Option<&'static str> {
        match self {
            Closed::Ended => None,
            Closed::WornOut(WornOut::Silent) => Some("silent"),
            Closed::WornOut(WornOut::Idle) => Some("idle"),
            Closed::WornOut(WornOut::Old) => Some("old"),
            Closed::WornOut(WornOut::Stuck) => Some("stuck"),
            Closed::Displaced => Some("displaced"),
            Closed::Handshake(_) => Some(Closed::HANDSHAKE),
            Closed::Expired => Some("expired"),
        }
    }
}

/// A connection that was accepted, before the first word of HTTP/2.
pub(super) enum Begun {
    Plain(Box<dyn Socket>, Caller),
    /// The handshake comes first.
    Tls(TcpStream, SocketAddr, TlsServer),
}

pub(super) async fn serve(
    begun: Begun,
    windows: Windows,
    calls: Calls,
    activity: Arc<Activity>,
    ending: CancellationToken,
) -> Closed {
    let ends = async {
        tokio::select! {
            biased;
            () = ending.cancelled() => Closed::Ended,
            () = activity.told_to_leave() => Closed::Displaced,
            why = activity.worn_out() => Closed::WornOut(why),
        }
    };
    let mut ends = std::pin::pin!(ends);
    let (socket, Shown { caller, ends: certificate_ends }) = tokio::select! {
        biased;
        shaken = begun.shake() => match shaken {
            Ok(shaken) => shaken,
            Err(error) => return Closed::Handshake(error.to_string()),
        },
        why = &mut ends => return why,
    };
    let calls = calls.of(caller);
    let connection = http2(windows).serve_connection(TokioIo::new(Together::new(socket)), calls);
    let mut connection = std::pin::pin!(connection);
    let why = tokio::select! {
        biased;
        // However its caller ended it, that is nobody's news.
        _ended = &mut connection => return Closed::Ended,
        why = &mut ends => why,
        () = until(certificate_ends) => Closed::Expired,
    };
    let taken_leave_of = match why {
        // Nobody is there, or somebody who does not listen.
        Closed::WornOut(WornOut::Silent | WornOut::Stuck) | Closed::Handshake(_) => false,
        Closed::Expired => true,
        Closed::Ended | Closed::Displaced | Closed::WornOut(WornOut::Idle | WornOut::Old) => {
            activity.used(Instant::now()) != Use::NoCallYet
        }
    };
    if taken_leave_of {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            _ended = &mut connection => {}
            () = activity.quiet_for(LEAVE_MAX) => {}
            // What was called before goes on for as long as it likes, but not for nobody.
            () = activity.stuck() => return Closed::WornOut(WornOut::Stuck),
            // Its calls are those of nobody who is known any more, also where it was to end for another reason.
            () = async {
                until(certificate_ends).await;
                tokio::time::sleep(LEAVE_MAX).await;
            } => {}
        }
    }
    why
}

impl Begun {
    async fn shake(self) -> io::Result<(Box<dyn Socket>, Shown)> {
        match self {
            Begun::Plain(socket, caller) => Ok((socket, Shown { caller, ends: None })),
            Begun::Tls(socket, address, server) => {
                let shaken = server.accept(socket).await;
                let (stream, Shown { caller, ends }) =
                    shaken.map_err(|error| io::Error::other(format!("{address}: {error}")))?;
                let caller = Caller { address: Some(address), ..caller };
                Ok((Box::new(stream), Shown { caller, ends }))
            }
        }
    }
}

/// Waits until the wall clock shows this; for ever without it. The clock may be set meanwhile.
async fn until(end: Option<SystemTime>) {
    let Some(end) = end else { return std::future::pending().await };
    while let Ok(left) = end.duration_since(SystemTime::now()) {
        tokio::time::sleep(left.min(CLOCK_EVERY)).await;
    }
}

fn http2(windows: Windows) -> http2::Builder<TokioExecutor> {
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_frame_size(windows.frame)
        .max_concurrent_streams(windows.calls)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_send_buf_size(SEND_BYTES)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    http2
}
