//! Where a node listens: `http://host:port` or `unix:///path/of.sock`, and nothing else.

use std::time::Duration;

use tonic::codegen::http::Uri;
use tonic::transport::Endpoint;

use crate::connections::CALLS_MAX;
use crate::error::Error;

/// A node on the same machine or network answers at once or not at all; well below every deadline,
/// so that a failure to connect is known as one, and as having changed nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A stream that waits, as a watch does, must notice a machine that vanished, and a call a connection that a firewall
/// forgot: well before a write's deadline, so that the next call finds a new one.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(4);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);

/// Bytes of one answer that a node may send ahead of whoever reads it.
const STREAM_BYTES: u32 = 256 * 1024;

/// The same of all answers of a connection. Whoever does not read keeps a part of them until the call ends: all calls may be
/// left unread, and one more has room for its answer.
const CONNECTION_BYTES: u32 = (CALLS_MAX + 1) * STREAM_BYTES;

/// What is spoken to a node at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Plain,
    Tls,
}

pub(crate) fn endpoint(address: &str, spoken: Spoken) -> Result<Endpoint, Error> {
    let checked = match (address.split_once("://"), spoken) {
        (Some(("unix", path)), Spoken::Plain) => check_path(path),
        (Some(("http", authority)), Spoken::Plain) | (Some(("https", authority)), Spoken::Tls) => {
            check_authority(authority)
        }
        (Some(("https", _)), Spoken::Plain) => {
            Err("for TLS it must be said whom to trust: the authorities of the node".to_owned())
        }
        (Some(("http" | "unix", _)), Spoken::Tls) => {
            Err("TLS is spoken to https://host:port only".to_owned())
        }
        (Some((scheme, _)), _) => Err(format!("the scheme {scheme:?} is not known")),
        (None, _) => Err("it has no scheme".to_owned()),
    };
    let endpoint =
        checked.and_then(|()| Endpoint::from_shared(address.to_owned()).map_err(|e| e.to_string()));
    match endpoint {
        Ok(endpoint) => Ok(configured(endpoint)),
        Err(fault) => Err(Error::address(address, &fault)),
    }
}

fn configured(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_BYTES)
        .initial_connection_window_size(CONNECTION_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
}

fn check_path(path: &str) -> Result<(), String> {
    match path {
        "" => Err("the path of the socket is missing".to_owned()),
        relative if !relative.starts_with('/') => {
            Err(format!("the path {relative:?} is not absolute: three slashes are needed"))
        }
        _absolute => Ok(()),
    }
}

fn check_authority(authority: &str) -> Result<(), String> {
    let uri: Uri = format!("http://{authority}").parse().map_err(|e| format!("{e}"))?;
    if uri.host().unwrap_or_default().is_empty() {
        return Err("the host is missing".to_owned());
    }
    if uri.port_u16().is_none_or(|port| port == 0) {
        return Err("the port is missing".to_owned());
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err("nothing may follow the port".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn http_with_a_port_and_unix_with_an_absolute_path_are_accepted() {
        for address in [
            "http://127.0.0.1:7400",
            "http://localhost:7400/",
            "http://[::1]:7400",
            "unix:///run/outrigger/notes.sock",
            "unix:///with space/näme.sock",
        ] {
            endpoint(address, Spoken::Plain).unwrap_or_else(|error| panic!("{address}: {error}"));
        }
    }

    #[test]
    fn every_other_address_is_refused_with_what_is_wrong_and_what_is_right() {
        for (address, fault) in [
            ("", "no scheme"),
            ("127.0.0.1:7400", "no scheme"),
            ("/run/outrigger.sock", "no scheme"),
            ("unix:/run/outrigger.sock", "no scheme"),
            ("https://127.0.0.1:7400", "whom to trust"),
            ("kafka://127.0.0.1:9092", "\"kafka\" is not known"),
            ("unix://", "missing"),
            ("unix://run/outrigger.sock", "not absolute"),
            ("http://", "http"),
            ("http://:7400", "http"),
            ("http://127.0.0.1", "port is missing"),
            ("http://127.0.0.1:0", "port is missing"),
            ("http://127.0.0.1:74000", "http"),
            ("http://127.0.0.1:7400/v1", "nothing may follow"),
            ("http://127.0.0.1:7400?a=b", "nothing may follow"),
            ("http://a host:7400", "http"),
        ] {
            let error = endpoint(address, Spoken::Plain).expect_err(address);
            assert_eq!(error.kind(), ErrorKind::Address, "{address}");
            assert!(!error.may_have_happened());
            let text = error.to_string();
            assert!(text.contains(fault), "{address}: {text}");
            assert!(text.contains("unix:///run/outrigger.sock"), "{address}: {text}");
        }
    }

    #[test]
    fn tls_has_a_scheme_of_its_own() {
        endpoint("https://127.0.0.1:7400", Spoken::Tls).unwrap();
        for address in ["http://127.0.0.1:7400", "unix:///run/outrigger/notes.sock"] {
            let error = endpoint(address, Spoken::Tls).expect_err(address);
            assert_eq!(error.kind(), ErrorKind::Address, "{address}");
            assert!(error.to_string().contains("https://"), "{error}");
        }
    }
}
