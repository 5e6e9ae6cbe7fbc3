//! A port that leads to another one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as Bound};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::{Weather, air, connection};
use crate::kafka::free_port;

/// A proxy ends with its connections when it is dropped.
pub struct Proxy {
    port: u16,
    weather: watch::Sender<Weather>,
    requests: Arc<AtomicU64>,
    listening: JoinHandle<()>,
}

/// What the connections of a proxy have in common.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) server: SocketAddr,
    pub(super) weather: watch::Receiver<Weather>,
    pub(super) requests: Arc<AtomicU64>,
}

impl Proxy {
    /// Opens a proxy in clear weather, on a free port of 127.0.0.1. Nobody needs to listen at `server` yet.
    pub fn before(server: SocketAddr) -> Result<Proxy> {
        let port = free_port()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let bound = Bound::bind(address).with_context(|| format!("listening on {address}"))?;
        bound.set_nonblocking(true)?;
        let (weather, seen) = watch::channel(Weather::Clear);
        let way = Way { server, weather: seen, requests: Arc::default() };
        let requests = Arc::clone(&way.requests);
        let listening = air::runtime().spawn(listen(bound, address, way));
        Ok(Proxy { port, weather, requests, listening })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address as `host:port`.
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// How many messages callers have sent so far, where each begins with its length in four bytes, as Kafka's do.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Sets the weather from now on, for connections that are there too.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(bound: Bound, address: SocketAddr, way: Way) {
    let mut weather = way.weather.clone();
    let mut connections = JoinSet::new();
    let mut listener = Some(TcpListener::from_std(bound).expect("a bound socket listens"));
    loop {
        let open = match listener.take() {
            Some(open) => open,
            // The port is of those that the system gives to nobody.
            None => TcpListener::bind(address).await.expect("the port was ours and is free"),
        };
        let mut refused = weather.clone();
        loop {
            tokio::select! {
                biased;
                ended = refused.wait_for(|weather| *weather == Weather::Refuse) => match ended {
                    Ok(_) => break,
                    Err(_) => return,
                },
                Some(_ended) = connections.join_next() => {}
                accepted = open.accept() => if let Ok((caller, _)) = accepted {
                    connections.spawn(connection::carry(caller, way.clone()));
                },
            }
        }
        drop(open);
        if weather.wait_for(|weather| *weather != Weather::Refuse).await.is_err() {
            return;
        }
    }
}
