//! One stream of one peer: it is asked for, checked, and written to the disk on a thread of its own meanwhile.

use std::path::Path;
use std::time::Duration;

use outrigger_client::TlsConnector;
use outrigger_core::topic::Identity;
use outrigger_proto::limits::{CHECKPOINT_MESSAGE_BYTES_MAX, CHUNK_BYTES};
use outrigger_proto::peer::v1::checkpoint_response::Part;
use outrigger_proto::peer::v1::peer_client::PeerClient;
use outrigger_proto::peer::v1::{
    CheckpointChunk, CheckpointHeader, CheckpointPosition, CheckpointRequest, CheckpointResponse,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use super::address::PeerAddress;
use super::call::{KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, last_cause};
use super::incoming::{Incoming, IncomingError};
use super::manifest::{Manifest, ManifestError, told};
use super::secret::Secret;
use super::{RATE_MIN, TAKERS_MAX};
use crate::telemetry;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The peer makes its checkpoint before its header: a link for each file.
const HEADER_MAX: Duration = Duration::from_secs(60);
/// A chunk is a MiB, given at the lowest rate that a peer can be told, which all takers share.
const CHUNK_MAX: Duration = Duration::from_secs(30);

const _: () = {
    let chunk_seconds = TAKERS_MAX * CHUNK_BYTES / (RATE_MIN as usize);
    assert!(2 * chunk_seconds < CHUNK_MAX.as_secs() as usize);
};

/// Bytes that may be on their way: enough for a fast network, and little memory.
const WINDOW_BYTES: u32 = 8 << 20;
/// Frames are large: each costs both ends.
const FRAME_BYTES: u32 = 1 << 20;
/// Chunks between the network and the disk.
const QUEUE_CHUNKS: usize = 8;

/// What is asked of a peer.
pub(super) struct Ask<'a> {
    pub(super) peer: &'a PeerAddress,
    pub(super) secret: Option<&'a Secret>,
    pub(super) tls: Option<&'a TlsConnector>,
    pub(super) identity: &'a Identity,
    /// The directory that it is put into.
    pub(super) directory: &'a Path,
    pub(super) cancel: &'a CancellationToken,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TransferError {
    #[error("called off")]
    Cancelled,
    #[error("it cannot be reached ({0})")]
    Connect(String),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("{}", refusal(.0))]
    Status(#[from] Box<Status>),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("it does not send a header first, and chunks then")]
    Protocol,
    #[error(transparent)]
    Land(#[from] IncomingError),
}

fn refusal(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => "it gives no copies at this address: it runs without a peer secret, or listens to peers elsewhere".to_owned(),
        code => format!("{code:?}: {}", told(status.message())),
    }
}

impl Ask<'_> {
    /// Takes the whole copy, and returns what it is. What an earlier stream left in `incoming` is resumed when the peer
    /// still has it. `progress` is called after each chunk. After a failure, too, `incoming` is what came.
    pub(super) async fn run(
        &self,
        incoming: &mut Option<Incoming>,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<Manifest, TransferError> {
        let mut client = self.connect().await?;
        let request = self.request(incoming.as_ref());
        let asked = self.within(HEADER_MAX, client.checkpoint(request)).await?;
        let mut stream = asked.map_err(Box::new)?.into_inner();
        let header = match self.next(&mut stream, HEADER_MAX).await? {
            Some(Part::Header(header)) => header,
            Some(Part::Chunk(_)) | None => return Err(TransferError::Protocol),
        };
        let begun = self.land(incoming.take(), header).await?;
        let (chunks, queue) = mpsc::channel(QUEUE_CHUNKS);
        let store = self.identity.store.clone();
        let writing = tokio::task::spawn_blocking(move || write(&store, begun, queue, progress));
        let received = self.receive(&mut stream, chunks).await;
        let (written, landed) = writing.await.expect("writing to the disk does not panic");
        let received = match received {
            // The stream broke after the last byte; asking again would bring another checkpoint.
            Err(TransferError::Status(_) | TransferError::Silent(_)) if written.is_whole() => {
                Ok(())
            }
            other => other,
        };
        // A failure of the disk ends the receiving too, and is the reason.
        if let Err(error) = landed.map_err(TransferError::Land).and(received) {
            *incoming = Some(written);
            return Err(error);
        }
        let manifest = written.manifest().clone();
        let finished = tokio::task::spawn_blocking(move || written.finish()).await;
        finished.expect("writing to the disk does not panic")?;
        Ok(manifest)
    }

    async fn connect(&self) -> Result<PeerClient<Channel>, TransferError> {
        let endpoint = Endpoint::from(self.peer.uri())
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES);
        let connecting = async {
            match self.tls.filter(|_| self.peer.speaks_tls()) {
                Some(tls) => endpoint.connect_with_connector(tls.clone()).await,
                None => endpoint.connect().await,
            }
        };
        let connected = self.within(CONNECT_MAX, connecting).await?;
        let channel = connected.map_err(|error| TransferError::Connect(last_cause(&error)))?;
        Ok(PeerClient::new(channel).max_decoding_message_size(CHECKPOINT_MESSAGE_BYTES_MAX))
    }

    fn request(&self, incoming: Option<&Incoming>) -> Request<CheckpointRequest> {
        let resume = incoming.map(|incoming| {
            let (file, offset) = incoming.place();
            let file = u32::try_from(file).expect("a checkpoint's files are counted in 16 bits");
            CheckpointPosition { checkpoint: incoming.manifest().checkpoint.clone(), file, offset }
        });
        let store = self.identity.store.clone();
        let mut request = Request::new(CheckpointRequest { store, resume });
        if let Some(secret) = self.secret {
            let value = secret.authorization().parse().expect("a secret is visible ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    /// Makes the place for the checkpoint that the header announces.
    async fn land(
        &self,
        earlier: Option<Incoming>,
        header: CheckpointHeader,
    ) -> Result<Incoming, TransferError> {
        let manifest = Manifest::check(&self.peer.to_string(), header, self.identity)?;
        let earlier = earlier.filter(|incoming| incoming.manifest().is_of_the_same(&manifest));
        let directory = self.directory.to_owned();
        let begin = move || match earlier {
            Some(mut same) => {
                same.hear_retention(manifest.delete_retention_ms_min)?;
                Ok(same)
            }
            None => Incoming::begin(&directory, manifest),
        };
        let begun = tokio::task::spawn_blocking(begin).await;
        Ok(begun.expect("writing to the disk does not panic")?)
    }

    /// Receives until the stream ends, or nobody takes the chunks any more.
    async fn receive(
        &self,
        stream: &mut Streaming<CheckpointResponse>,
        chunks: mpsc::Sender<CheckpointChunk>,
    ) -> Result<(), TransferError> {
        loop {
            let chunk = match self.next(stream, CHUNK_MAX).await? {
                Some(Part::Chunk(chunk)) => chunk,
                Some(Part::Header(_)) => return Err(TransferError::Protocol),
                None => return Ok(()),
            };
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(TransferError::Cancelled),
                sent = chunks.send(chunk) => if sent.is_err() {
                    return Ok(());
                },
            }
        }
    }

    async fn next(
        &self,
        stream: &mut Streaming<CheckpointResponse>,
        limit: Duration,
    ) -> Result<Option<Part>, TransferError> {
        match self.within(limit, stream.message()).await?.map_err(Box::new)? {
            Some(CheckpointResponse { part: Some(part) }) => Ok(Some(part)),
            Some(CheckpointResponse { part: None }) => Err(TransferError::Protocol),
            None => Ok(None),
        }
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, TransferError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(TransferError::Cancelled),
            done = tokio::time::timeout(limit, work) => {
                done.map_err(|_| TransferError::Silent(limit))
            }
        }
    }
}

/// Writes chunks until no more come, or one fails. What came before is kept in both cases.
fn write(
    store: &str,
    mut incoming: Incoming,
    chunks: mpsc::Receiver<CheckpointChunk>,
    progress: impl FnMut(u64, u64),
) -> (Incoming, Result<(), IncomingError>) {
    let landed = write_chunks(store, &mut incoming, chunks, progress);
    let kept = if incoming.is_whole() { Ok(()) } else { incoming.save() };
    (incoming, landed.and(kept))
}

fn write_chunks(
    store: &str,
    incoming: &mut Incoming,
    mut chunks: mpsc::Receiver<CheckpointChunk>,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), IncomingError> {
    while let Some(CheckpointChunk { file, offset, data, xxh3 }) = chunks.blocking_recv() {
        let file = usize::try_from(file).expect("usize holds 32 bits on every supported platform");
        incoming.write(file, offset, &data, xxh3)?;
        telemetry::metrics::taken_from_peer(store, data.len());
        progress(incoming.bytes(), incoming.bytes_total());
    }
    Ok(())
}
