//! The Prometheus endpoint: one page, and nothing at any other path.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as Socket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

/// The path at which Prometheus looks when it is not told otherwise.
const PATH: &str = "/metrics";

const PAGE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");
const WORDS: HeaderValue = HeaderValue::from_static("text/plain");

/// Connections at the same time. Whoever scrapes keeps one or two; what is more waits to be accepted.
const CONNECTIONS_MAX: usize = 32;

/// How long a connection may be silent, before a request and between two: it must not hold its place for ever.
const SILENT_MAX: Duration = Duration::from_secs(90);

/// The interval of the recorder's upkeep, which samples of histograms wait for.
const UPKEEP: Duration = Duration::from_secs(5);

/// The pause after a failed accept: without descriptors or memory it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    pub(super) fn start(listener: TcpListener, pages: PrometheusHandle) -> MetricsEndpoint {
        let serving = tokio::spawn(serve(listener, pages.clone()));
        let upkeep = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                pages.run_upkeep();
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

async fn serve(listener: TcpListener, pages: PrometheusHandle) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes it");
        // Those that are over are forgotten.
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _peer)) => {
                let pages = pages.clone();
                connections.spawn(async move {
                    answer(stream, pages).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection for metrics was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, pages: PrometheusHandle) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(request.method(), request.uri().path(), || pages.render());
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SILENT_MAX);
    // Whoever leaves in the middle, or stays silent, is nobody's fault here.
    http.serve_connection(TokioIo::new(stream), service).await.ok();
}

fn respond(method: &Method, path: &str, page: impl FnOnce() -> String) -> Response<Full<Bytes>> {
    match (path, method) {
        (PATH, &Method::GET | &Method::HEAD) => {
            response(StatusCode::OK, (CONTENT_TYPE, PAGE), page())
        }
        (PATH, _) => {
            let allowed = (ALLOW, HeaderValue::from_static("GET, HEAD"));
            response(StatusCode::METHOD_NOT_ALLOWED, allowed, "GET it\n".to_owned())
        }
        (_, _) => {
            let words = format!("nothing is here: the metrics are at {PATH}\n");
            response(StatusCode::NOT_FOUND, (CONTENT_TYPE, WORDS), words)
        }
    }
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
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn only_the_page_is_there_and_only_to_be_read() {
        let status = |method, path| respond(&method, path, || "page".to_owned()).status().as_u16();
        assert_eq!(status(Method::GET, "/metrics"), 200);
        assert_eq!(status(Method::HEAD, "/metrics"), 200);
        assert_eq!(status(Method::POST, "/metrics"), 405);
        for path in ["/", "/metrics/", "/metric", "/health", "/metrics/x"] {
            assert_eq!(status(Method::GET, path), 404, "{path}");
        }
    }

    #[tokio::test]
    async fn it_answers_one_request_after_another_on_one_connection() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let pages = PrometheusBuilder::new().build_recorder().handle();
        let _endpoint = MetricsEndpoint::start(listener, pages);
        let mut stream = TcpStream::connect(address).await.unwrap();
        for (path, close, status) in
            [("/metrics", "", "200"), ("/x", "connection: close\r\n", "404")]
        {
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{close}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut start = [0; 12];
            stream.read_exact(&mut start).await.unwrap();
            assert_eq!(&start[9..], status.as_bytes());
            if close.is_empty() {
                skip_headers(&mut stream).await;
            }
        }
    }

    /// Reads to the end of the headers: the empty page has no body.
    async fn skip_headers(stream: &mut TcpStream) {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(stream.read_u8().await.unwrap());
        }
    }
}
