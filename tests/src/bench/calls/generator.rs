//! Who calls: the same for every server, so that only the servers differ. What is sent is encoded before, and what
//! comes back is counted and dropped.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

/// Keys that are written and read in turn.
pub(super) const KEYS: u64 = 10_000;

const VALUE: [u8; 100] = [b'v'; 100];

/// One method of one server, with a request for each number.
#[derive(Clone, Copy)]
pub(in crate::bench) struct Call {
    path: &'static str,
    request: fn(u64) -> Vec<u8>,
}

impl Call {
    pub(super) const fn new(path: &'static str, request: fn(u64) -> Vec<u8>) -> Call {
        Call { path, request }
    }

    /// Makes the call of this number. Returns how long it took.
    pub(in crate::bench) async fn once(&self, channel: &Channel, number: u64) -> Result<Duration> {
        let began = Instant::now();
        let mut client = Grpc::new(channel.clone());
        client.ready().await.context("connecting")?;
        let request = tonic::Request::new(Bytes::from((self.request)(number)));
        client.unary(request, PathAndQuery::from_static(self.path), Raw).await?;
        Ok(began.elapsed())
    }

    /// Makes `calls` calls by `callers` callers on one connection, each with one call at a time. Returns how long all took.
    pub(super) async fn many(
        &self,
        channel: &Channel,
        calls: u64,
        callers: u64,
    ) -> Result<Duration> {
        ensure!(calls.is_multiple_of(callers), "every caller makes as many calls");
        let began = Instant::now();
        let one = |caller: u64| {
            let (call, channel) = (*self, channel.clone());
            async move {
                for number in (caller..calls).step_by(usize::try_from(callers)?) {
                    call.once(&channel, number).await?;
                }
                anyhow::Ok(())
            }
        };
        let callers: Vec<_> = (0..callers).map(|caller| tokio::spawn(one(caller))).collect();
        for caller in callers {
            caller.await??;
        }
        Ok(began.elapsed())
    }
}

pub(super) fn key(number: u64) -> Bytes {
    format!("{:016x}", number % KEYS).into()
}

pub(super) fn value() -> Bytes {
    Bytes::from_static(&VALUE)
}

pub(super) fn encoded(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

/// Messages as they are on the wire.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = usize;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = usize;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<usize>, Status> {
        let bytes = buffer.remaining();
        buffer.advance(bytes);
        Ok(Some(bytes))
    }
}
