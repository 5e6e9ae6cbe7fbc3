//! Where a peer listens: `http://host:port`, or `https://host:port` where it speaks TLS, as `--peer-listen` of that node
//! says, or `--listen` where it has no other.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tonic::codegen::http::Uri;

/// How long the lookup of one name may take.
const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// Nodes that are asked in turn at most, however many addresses the names have: a node would wait for silent ones longer
/// than for its log.
pub(super) const PLACES_MAX: usize = 16;

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

    pub(crate) fn uri(&self) -> Uri {
        self.0.clone()
    }

    /// Its host, without the brackets of IPv6.
    pub(super) fn host(&self) -> &str {
        self.0.host().expect("it was parsed with a host").trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_u16().expect("it was parsed with a port")
    }

    /// Returns the same at one of the addresses that its name has.
    fn at(&self, address: SocketAddr) -> PeerAddress {
        let scheme = self.0.scheme_str().expect("it was parsed with a scheme");
        PeerAddress::parse(&format!("{scheme}://{address}")).expect("it has a host and a port")
    }
}

/// Where to ask a peer: one process, which has this name where it has to prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: PeerAddress,
    /// The host as it was configured.
    pub(crate) name: String,
}

/// Where the peers are now. Names are looked up each time: nodes come and go behind them.
pub(crate) async fn places(addresses: &[PeerAddress]) -> Vec<Place> {
    let mut places = Vec::new();
    for named in addresses {
        let looking = tokio::net::lookup_host((named.host(), named.port()));
        let found = tokio::time::timeout(LOOKUP_MAX, looking).await;
        // Whoever is asked by a name that has no address says why that fails.
        let found = found.ok().and_then(Result::ok).into_iter().flatten();
        for place in Place::all(named, &found.collect::<Vec<_>>()) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places.truncate(PLACES_MAX);
    places
}

impl Place {
    /// Returns the places of a name that has these addresses now. A name of several is as many nodes: a headless service
    /// of Kubernetes, say. One of a single address, or of none, is asked by its name.
    pub(crate) fn all(named: &PeerAddress, addresses: &[SocketAddr]) -> Vec<Place> {
        let place = |address| Place { address, name: named.host().to_owned() };
        match addresses {
            [] | [_] => vec![place(named.clone())],
            several => several.iter().map(|address| place(named.at(*address))).collect(),
        }
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
    fn a_name_of_several_addresses_is_as_many_nodes_and_keeps_its_name() {
        let addresses = ["10.0.0.1:7402", "[fd00::2]:7402"].map(|text| text.parse().unwrap());
        let named = PeerAddress::parse("https://peers.shop.svc:7402").unwrap();
        let places = Place::all(&named, &addresses);
        let texts: Vec<_> = places.iter().map(|place| place.address.to_string()).collect();
        assert_eq!(texts, ["https://10.0.0.1:7402", "https://[fd00::2]:7402"]);
        assert!(places.iter().all(|place| place.name == "peers.shop.svc"));
        for few in [&addresses[..1], &[]] {
            let places = Place::all(&named, few);
            let name = named.host().to_owned();
            assert_eq!(places, [Place { address: named.clone(), name }]);
        }
    }

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
