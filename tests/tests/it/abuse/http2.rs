//! HTTP/2 by hand, for no library lets its caller keep a window closed, send half of a message or take back what it
//! asked.

use std::io::Write;
use std::net::TcpStream;

use anyhow::{Context, Result};
use outrigger_tests::node::Node;

use super::MINUTE;

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;

/// HTTP/2's word for "never mind".
const CANCEL: u32 = 8;

/// How much of a call is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Whole,
    /// A part: more is to come, and does not.
    Half,
    /// All of it, and that it is not wanted any more.
    TakenBack,
}

/// What one connection sends.
pub(super) struct Calls {
    bytes: Vec<u8>,
    stream: u32,
}

impl Calls {
    /// Of each answer `window` bytes are taken.
    pub(super) fn new(window: u8) -> Result<Calls> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // Setting 4 is the first window of a stream.
        frame(&mut bytes, SETTINGS, 0, 0, &[0, 4, 0, 0, 0, window])?;
        Ok(Calls { bytes, stream: 1 })
    }

    pub(super) fn open(&mut self, path: &str, body: &[u8], sent: Sent) -> Result<()> {
        let mut headers = vec![0x83, 0x86];
        literal(&mut headers, &[0x04], path)?;
        literal(&mut headers, &[0x01], "node")?;
        literal(&mut headers, &[0x0f, 0x10], "application/grpc")?;
        literal(&mut headers, b"\x00\x02te", "trailers")?;
        let end = if sent == Sent::Half { 0 } else { END_STREAM };
        frame(&mut self.bytes, HEADERS, END_HEADERS, self.stream, &headers)?;
        frame(&mut self.bytes, DATA, end, self.stream, body)?;
        if sent == Sent::TakenBack {
            frame(&mut self.bytes, RST_STREAM, 0, self.stream, &CANCEL.to_be_bytes())?;
        }
        self.stream += 2;
        Ok(())
    }

    pub(super) fn send(self, node: &Node) -> Result<TcpStream> {
        let mut connection = connect(node)?;
        connection.write_all(&self.bytes).context("the node reads calls")?;
        Ok(connection)
    }

    /// The same to a node that may well close the connection before it has all.
    pub(super) fn send_what_is_taken(self, node: &Node) -> Result<TcpStream> {
        let mut connection = connect(node)?;
        connection.write_all(&self.bytes).unwrap_or_default();
        Ok(connection)
    }
}

fn connect(node: &Node) -> Result<TcpStream> {
    let connection = TcpStream::connect(node.url().trim_start_matches("http://"))?;
    connection.set_write_timeout(Some(MINUTE))?;
    Ok(connection)
}

/// The message as gRPC frames it.
pub(super) fn message(message: &[u8]) -> Result<Vec<u8>> {
    Ok([&announced(u32::try_from(message.len())?), message].concat())
}

/// The head of a message of this many bytes.
pub(super) fn announced(bytes: u32) -> [u8; 5] {
    let [a, b, c, d] = bytes.to_be_bytes();
    [0, a, b, c, d]
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<()> {
    bytes.extend(&u32::try_from(payload.len())?.to_be_bytes()[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    Ok(())
}

/// A header that is not indexed, short enough for a length of one byte.
fn literal(headers: &mut Vec<u8>, name: &[u8], value: &str) -> Result<()> {
    headers.extend(name);
    headers.push(u8::try_from(value.len())?);
    headers.extend(value.bytes());
    Ok(())
}
