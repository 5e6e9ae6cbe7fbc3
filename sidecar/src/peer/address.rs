//! Where a peer listens: `http://host:port`, or `https://host:port` where it speaks TLS, as `--peer-listen` of that node
//! says, or `--listen` where it has no other.

use std::fmt;

use tonic::codegen::http::Uri;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress(Uri);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "give the address of a node, such as http://10.0.0.2:7400, or https:// where it speaks TLS"
)]
pub struct AddressError;

impl PeerAddress {
    pub fn parse(text: &str) -> Result<PeerAddress, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError)?;
        let plain = uri.path_and_query().is_none_or(|path| path == "/");
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let port = uri.port_u16().is_some_and(|port| port > 0);
        if matches!(uri.scheme_str(), Some("http" | "https")) && plain && host && !user && port {
            Ok(PeerAddress(uri))
        } else {
            Err(AddressError)
        }
    }

    pub fn speaks_tls(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    pub(super) fn uri(&self) -> Uri {
        self.0.clone()
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0.authority().expect("it was parsed with a host");
        let scheme = self.0.scheme_str().expect("it was parsed with a scheme");
        write!(f, "{scheme}://{authority}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_host_and_a_port() {
        for text in ["http://b:7400", "http://10.0.0.2:1", "http://[::1]:7400", "https://b:7400"] {
            assert_eq!(PeerAddress::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(PeerAddress::parse("http://b:7400/").unwrap().to_string(), "http://b:7400");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "b",
            "b:7400",
            "http://b",
            "http://b:0",
            "https://b",
            "unix:///run/o.sock",
            "http://b:7400/x",
            "http://b:7400?x",
            "http://u@b:7400",
            "http://:7400",
        ] {
            assert_eq!(PeerAddress::parse(text), Err(AddressError), "{text}");
        }
    }
}
