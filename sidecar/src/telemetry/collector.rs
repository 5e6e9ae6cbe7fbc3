//! Where traces are sent: `http://host:port`, as an OpenTelemetry collector listens for OTLP over gRPC.

use std::fmt;

use tonic::codegen::http::Uri;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector(Uri);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectorError {
    #[error(
        "give where an OpenTelemetry collector listens for OTLP over gRPC, such as http://127.0.0.1:4317, or `off`"
    )]
    NoAddress,
    #[error(
        "this node speaks no TLS to a collector: run one on this machine, give that as http://127.0.0.1:4317, and let it \
         send on over TLS"
    )]
    Tls,
}

impl Collector {
    pub fn parse(text: &str) -> Result<Collector, CollectorError> {
        let uri: Uri = text.parse().map_err(|_| CollectorError::NoAddress)?;
        let plain = uri.path_and_query().is_none_or(|path| path == "/");
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let port = uri.port_u16().is_some_and(|port| port > 0);
        match uri.scheme_str() {
            Some("https") => Err(CollectorError::Tls),
            Some("http") if plain && host && !user && port => Ok(Collector(uri)),
            _ => Err(CollectorError::NoAddress),
        }
    }

    pub fn uri(&self) -> Uri {
        self.0.clone()
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0.authority().expect("it was parsed with a host");
        write!(f, "http://{authority}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_host_and_a_port_in_plain_text() {
        for text in ["http://127.0.0.1:4317", "http://otel.shop.svc:4317", "http://[::1]:4317"] {
            assert_eq!(Collector::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Collector::parse("http://a:4317/").unwrap().to_string(), "http://a:4317");
        assert_eq!(Collector::parse("https://a:4317"), Err(CollectorError::Tls));
        for text in [
            "",
            "a",
            "a:4317",
            "http://a",
            "http://a:0",
            "http://:1",
            "http://a:1/v1/traces",
            "http://u@a:1",
            "ftp://a:1",
        ] {
            assert_eq!(Collector::parse(text), Err(CollectorError::NoAddress), "{text}");
        }
    }
}
