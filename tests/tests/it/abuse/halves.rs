//! Callers who begin what they do not end: others are served meanwhile.

use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_proto::v1::{GetRequest, PutRequest};
use outrigger_tests::node::Node;
use prost::Message;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::http2::{Calls, Sent, announced, message};
use super::memory::{bounded, ready};
use super::{MINUTE, POLL, in_time, rows, run};

const CONNECTIONS: usize = 12;

/// Puts on each connection.
const PUTS: usize = 4;
const PROBES: usize = 100;
const SCANS: usize = 80;
const TAKEN_BACK: usize = 20_000;

/// What a Put may bring at most.
const ANNOUNCED: u32 = 4 * 1024 * 1024;

#[test]
fn halves_of_calls_hold_no_room_for_long() -> Result<()> {
    run(async {
        let dir = TempDir::new()?;
        let mut node = ready("halves", &dir).await?;
        let halves: Vec<TcpStream> = (0..CONNECTIONS)
            .map(|_| {
                let mut calls = Calls::new(1)?;
                for _ in 0..PUTS {
                    calls.open("/outrigger.v1.Store/Put", &announced(ANNOUNCED), Sent::Half)?;
                }
                for _ in 0..PROBES {
                    calls.open("/grpc.health.v1.Health/Check", &announced(9), Sent::Half)?;
                }
                calls.send(&node)
            })
            .collect::<Result<_>>()?;
        // All room is held at first.
        let (mut rows, deadline) = (rows(&node).await?, Instant::now() + MINUTE);
        while in_time("a write", rows.put(large())).await?.is_ok() {
            ensure!(Instant::now() < deadline, "nobody holds room");
            tokio::time::sleep(POLL).await;
        }
        is_served(&node).await?;
        bounded(&mut node).await?;
        drop(halves);
        Ok(())
    })
}

#[test]
fn what_is_taken_back_at_once_and_scans_that_nobody_reads_hold_nobody_up() -> Result<()> {
    run(async {
        let dir = TempDir::new()?;
        let mut node = ready("taken-back", &dir).await?;
        let get = GetRequest { key: "k".into(), ..GetRequest::default() }.encode_to_vec();
        let (get, scan) = (message(&get)?, message(&[])?);
        let storm: Vec<TcpStream> = (0..CONNECTIONS)
            .map(|_| {
                let mut calls = Calls::new(0)?;
                for _ in 0..SCANS {
                    calls.open("/outrigger.v1.Store/Scan", &scan, Sent::Whole)?;
                }
                for _ in 0..TAKEN_BACK {
                    calls.open("/outrigger.v1.Store/Get", &get, Sent::TakenBack)?;
                }
                calls.send_what_is_taken(&node)
            })
            .collect::<Result<_>>()?;
        is_served(&node).await?;
        bounded(&mut node).await?;
        // A drain ends although all of it is open.
        ensure!(node.stop()?.success(), "{}", node.log());
        drop(storm);
        Ok(())
    })
}

fn large() -> PutRequest {
    PutRequest { key: "large".into(), value: vec![7; 100_000].into(), ..PutRequest::default() }
}

/// Checks that a probe is served at once, and a large write soon.
async fn is_served(node: &Node) -> Result<()> {
    let channel = Channel::from_shared(node.url())?.connect().await?;
    let probe = HealthCheckRequest { service: "liveness".to_owned() };
    in_time("a probe", HealthClient::new(channel).check(probe)).await?.context("a probe")?;
    let (mut rows, deadline) = (rows(node).await?, Instant::now() + MINUTE);
    while let Err(refused) = in_time("a write", rows.put(large())).await? {
        ensure!(Instant::now() < deadline, "{refused:?}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
