//! What a node's metrics port answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::e2e::MINUTE;

pub(super) const POLL: Duration = Duration::from_millis(250);

/// The samples of a scrape, by series.
pub(super) type Samples = BTreeMap<String, f64>;

/// The status, the head and the body of a page.
pub(crate) fn page(port: u16, path: &str) -> Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(MINUTE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("a head and a body")?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok((status, head.to_owned(), body.to_owned()))
}

pub(super) fn scrape(port: u16) -> Result<String> {
    let (status, _, body) = page(port, "/metrics")?;
    ensure!(status == 200, "{status}: {body}");
    Ok(body)
}

pub(super) fn samples(text: &str) -> Result<Samples> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let sample = |line: &str| -> Result<(String, f64)> {
        let (series, value) = line.rsplit_once(' ').context("a series and its value")?;
        Ok((series.to_owned(), value.parse().with_context(|| line.to_owned())?))
    };
    lines.map(sample).collect()
}

/// The names of the metrics that have a sample; a histogram's without what is put behind it.
pub(super) fn names(text: &str) -> Result<BTreeSet<String>> {
    let name = |series: &String| {
        let name = series.split('{').next().unwrap_or_default();
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        histogram.filter(|name| name.ends_with("_seconds")).unwrap_or(name).to_owned()
    };
    Ok(samples(text)?.keys().map(name).collect())
}

/// Waits until a scrape is as wanted.
pub(super) async fn until(
    port: u16,
    what: &str,
    wanted: impl Fn(&Samples) -> bool,
) -> Result<Samples> {
    let deadline = Instant::now() + MINUTE;
    loop {
        let seen = samples(&scrape(port)?)?;
        if wanted(&seen) {
            return Ok(seen);
        }
        ensure!(Instant::now() < deadline, "{what}: not in time: {seen:#?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until what the page asks for is as wanted.
pub(super) async fn until_state(
    port: u16,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let deadline = Instant::now() + MINUTE * 2;
    loop {
        let state = page(port, "/status.json")
            .and_then(|(_, _, body)| Ok(serde_json::from_str::<Value>(&body)?));
        if let Ok(state) = &state
            && wanted(state)
        {
            return Ok(state.clone());
        }
        ensure!(Instant::now() < deadline, "{what}: not in time: {state:?}");
        tokio::time::sleep(POLL).await;
    }
}
