//! The endpoint for whoever watches over the node: a page of metrics for Prometheus, a page for each probe, and one for
//! people, in plain HTTP, for that is all that an orchestrator speaks. No page holds data of the stores.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as Socket};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::metrics;
use crate::probes::{Peers, Probe, Told};
use crate::shown;

/// The path at which Prometheus looks when it is not told otherwise.
const PATH: &str = "/metrics";

const PAGE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");
const WORDS: HeaderValue = HeaderValue::from_static("text/plain");

/// Connections at the same time. Whoever scrapes or probes keeps one or two; one more ends the oldest, for a probe that
/// is not answered has the node restarted.
const CONNECTIONS_MAX: usize = 32;

/// How long a connection may be silent, before a request and between two: it must not hold its place for ever.
const SILENT_MAX: Duration = Duration::from_secs(90);

/// How long a connection may last, whatever it does: one that takes no answers is not silent.
const AGE_MAX: Duration = Duration::from_secs(600);

/// The interval of the recorder's upkeep, which samples of histograms wait for.
const UPKEEP: Duration = Duration::from_secs(5);

/// The pause after a failed accept: without descriptors or memory it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The page for people, and the state that it shows.
const PAGE_PATH: &str = "/";
const STATE_PATH: &str = "/status.json";

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// It needs nothing from anywhere, and whatever a node says of itself is shown as text.
const STATUS_PAGE: &str = include_str!("page.html");

/// What is there to be read.
#[derive(Clone)]
pub(super) struct Pages {
    pub(super) metrics: PrometheusHandle,
    pub(super) told: Told,
    /// None: there are none.
    pub(super) peers: Option<Peers>,
    /// Whether everybody may see what Status tells.
    pub(super) shows_state: bool,
}

/// The endpoint; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the endpoint ends with this value"]
pub struct MetricsEndpoint {
    tasks: [JoinHandle<()>; 2],
}

pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::bind(address)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

impl MetricsEndpoint {
    pub(super) fn start(listener: TcpListener, pages: Pages) -> MetricsEndpoint {
        let metrics = pages.metrics.clone();
        let serving = tokio::spawn(serve(listener, pages));
        let upkeep = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                metrics.run_upkeep();
            }
        });
        MetricsEndpoint { tasks: [serving, upkeep] }
    }
}

impl Drop for MetricsEndpoint {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn serve(listener: TcpListener, pages: Pages) {
    // They end with this; the oldest comes first.
    let mut connections = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                // Those that are over are forgotten.
                while connections.try_join_next().is_some() {}
                open.retain(|connection| !connection.is_finished());
                if open.len() >= CONNECTIONS_MAX
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                let answering = tokio::time::timeout(AGE_MAX, answer(stream, pages.clone()));
                open.push_back(connections.spawn(async move {
                    // Whoever needs longer comes again.
                    answering.await.ok();
                }));
            }
            Err(error) => {
                tracing::debug!(%error, "a connection for metrics was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, pages: Pages) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = pages.respond(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SILENT_MAX);
    // Whoever leaves in the middle, or stays silent, is nobody's fault here.
    http.serve_connection(TokioIo::new(stream), service).await.ok();
}

impl Pages {
    fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let probe = Probe::ALL.into_iter().find(|probe| probe.path() == path);
        if probe.is_none() && ![PATH, PAGE_PATH, STATE_PATH].contains(&path) {
            let words = format!(
                "nothing is here: the metrics are at {PATH}, answers to probes at {}, a page for people at {PAGE_PATH}\n",
                Probe::ALL.map(Probe::path).join(", ")
            );
            return response(StatusCode::NOT_FOUND, (CONTENT_TYPE, WORDS), words);
        }
        if !self.shows_state && [PAGE_PATH, STATE_PATH].contains(&path) {
            let words = "the status page is shown at an address that only this machine reaches, or where nobody is asked \
                         who it is: the node has rules of access. `outrigger status` shows the same to who may see it\n";
            return response(StatusCode::FORBIDDEN, (CONTENT_TYPE, WORDS), words.to_owned());
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let allowed = (ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response(StatusCode::METHOD_NOT_ALLOWED, allowed, "GET it\n".to_owned());
        }
        match (probe, path) {
            (Some(probe), _) => told(self.told.answers.borrow().against(probe)),
            (None, PAGE_PATH) => status_page(),
            (None, STATE_PATH) => {
                response(StatusCode::OK, (CONTENT_TYPE, JSON), self.state().to_string())
            }
            (None, _) => response(StatusCode::OK, (CONTENT_TYPE, PAGE), self.scrape()),
        }
    }

    fn scrape(&self) -> String {
        let mut text = self.metrics.render();
        metrics::latency::write(&mut text);
        text
    }

    fn state(&self) -> serde_json::Value {
        let told = self.told.state.borrow();
        let (at, node) = &*told;
        let mut state = shown::json::node(node);
        // A node that drains tells nothing more, and what it told last becomes older.
        let since = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        state["state_age_ms"] = node.state_age_ms.map(|age| age.saturating_add(since)).into();
        let answers = self.told.answers.borrow();
        let about = [("not_ready", &answers.not_ready[..]), ("not_live", &answers.not_live)];
        for (name, lines) in about {
            state[name] = lines.into();
        }
        let peers = self.peers.as_ref().map(|peers| peers());
        state["peers"] =
            peers.iter().flat_map(|peers| peers.iter()).map(shown::json::peer).collect();
        state
    }
}

fn status_page() -> Response<Full<Bytes>> {
    let mut page = response(StatusCode::OK, (CONTENT_TYPE, HTML), STATUS_PAGE.to_owned());
    let headers = page.headers_mut();
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}

fn told(against: &[String]) -> Response<Full<Bytes>> {
    if against.is_empty() {
        return response(StatusCode::OK, (CONTENT_TYPE, WORDS), "yes\n".to_owned());
    }
    let lines = std::iter::once("no").chain(against.iter().map(String::as_str));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    response(StatusCode::SERVICE_UNAVAILABLE, (CONTENT_TYPE, WORDS), text)
}

fn response(
    status: StatusCode,
    (name, value): (HeaderName, HeaderValue),
    body: String,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(name, value);
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use metrics_exporter_prometheus::PrometheusBuilder;
    use outrigger_proto::v1::{NodeStatus, StoreStatus};
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::probes::{PeerTold, Probes};

    fn pages(probes: Probes) -> Pages {
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let telling = Probes::untold();
        telling.answers.send_replace(probes);
        Pages { metrics, told: telling.subscribe(), peers: None, shows_state: true }
    }

    #[test]
    fn only_the_pages_are_there_and_only_to_be_read() {
        let pages = pages(Probes::starting());
        let status = |method, path| pages.respond(&method, path).status().as_u16();
        assert_eq!(status(Method::GET, "/metrics"), 200);
        assert_eq!(status(Method::HEAD, "/metrics"), 200);
        assert_eq!(status(Method::POST, "/metrics"), 405);
        assert_eq!(status(Method::POST, "/live"), 405);
        assert_eq!(status(Method::GET, "/"), 200);
        assert_eq!(status(Method::GET, "/status.json"), 200);
        assert_eq!(status(Method::POST, "/"), 405);
        for path in ["/index.html", "/metrics/", "/metric", "/health", "/metrics/x", "/live/"] {
            assert_eq!(status(Method::GET, path), 404, "{path}");
        }
    }

    #[test]
    fn each_probe_has_its_own_answer() {
        let why = |why: &str| vec![why.to_owned()];
        let yes = Probes { not_live: vec![], not_ready: vec![], not_started: vec![] };
        for (probes, answers) in [
            (yes.clone(), [200, 200, 200]),
            (Probes { not_started: why("a"), ..yes.clone() }, [503, 200, 200]),
            (Probes { not_ready: why("a"), ..yes.clone() }, [200, 503, 200]),
            (Probes { not_live: why("a"), ..yes }, [200, 200, 503]),
        ] {
            let pages = pages(probes);
            let status = |probe: Probe| pages.respond(&Method::GET, probe.path()).status().as_u16();
            assert_eq!(Probe::ALL.map(status), answers);
        }
    }

    #[tokio::test]
    async fn it_answers_one_request_after_another_on_one_connection() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let _endpoint = MetricsEndpoint::start(listener, pages(Probes::starting()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        for (path, close, status) in
            [("/metrics", "", "200"), ("/x", "connection: close\r\n", "404")]
        {
            let request = format!("HEAD {path} HTTP/1.1\r\nhost: x\r\n{close}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut start = [0; 12];
            stream.read_exact(&mut start).await.unwrap();
            assert_eq!(&start[9..], status.as_bytes());
            if close.is_empty() {
                skip_headers(&mut stream).await;
            }
        }
    }

    #[tokio::test]
    async fn the_state_is_what_status_tells_and_names_are_no_markup() {
        let telling = Probes::untold();
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let said = Err("it cannot be reached".to_owned());
        let peer = PeerTold { address: "http://b:7400".to_owned(), said };
        let peers: Peers = Arc::new(move || [peer.clone()].into());
        let pages =
            Pages { metrics, told: telling.subscribe(), peers: Some(peers), shows_state: true };
        let warning = "</script><img src=x onerror=alert(1)>";
        let store = StoreStatus {
            store: "notes".to_owned(),
            warnings: vec![warning.to_owned()],
            ..StoreStatus::default()
        };
        let version = "7".to_owned();
        let node = NodeStatus {
            version,
            stores: vec![store],
            state_age_ms: Some(4_000),
            ..NodeStatus::default()
        };
        let before = Instant::now() - Duration::from_secs(1);
        telling.state.send_replace((before, node));
        let state = pages.state();
        let peer = &state["peers"][0];
        assert_eq!((&state["version"], &peer["address"]), (&"7".into(), &"http://b:7400".into()));
        assert_eq!(
            (&peer["why"], &peer["version"]),
            (&"it cannot be reached".into(), &Value::Null)
        );
        assert_eq!(state["stores"][0]["warnings"][0], warning);
        assert_eq!(state["not_ready"][0], "the node begins");
        assert!(state["state_age_ms"].as_u64().unwrap() >= 5_000, "it becomes older untold");
        // The page takes whatever comes as text, and has no other way to show it.
        assert!(!STATUS_PAGE.contains("innerHTML") && !STATUS_PAGE.contains("insertAdjacent"));
        // Nor anything from elsewhere: a proxy may have put it below a path.
        assert!(!STATUS_PAGE.contains("\"/"), "an absolute path");
        assert!(!STATUS_PAGE.contains("http://") && !STATUS_PAGE.contains("https://"));
        let page = pages.respond(&Method::GET, "/");
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let closed = Pages { shows_state: false, ..pages };
        let status = |path| closed.respond(&Method::GET, path).status();
        assert_eq!(["/", "/status.json"].map(status), [StatusCode::FORBIDDEN; 2]);
        assert_eq!(status("/metrics"), StatusCode::OK);
    }

    /// A probe that is not answered has the node restarted.
    #[tokio::test]
    async fn whoever_keeps_places_and_asks_nothing_keeps_nobody_out() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let _endpoint = MetricsEndpoint::start(listener, pages(Probes::starting()));
        let mut silent = Vec::new();
        for _ in 0..2 * CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start[9..], b"200");
    }

    /// Reads to the end of the headers: an answer to HEAD has no body.
    async fn skip_headers(stream: &mut TcpStream) {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(stream.read_u8().await.unwrap());
        }
    }
}
