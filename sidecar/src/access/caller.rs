//! Who is on the other side of one connection, as far as the connection itself tells.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::escape::escape;

/// Whom a connection comes from. A clone is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The user whose process connected, where the kernel tells: over a Unix socket.
    pub uid: Option<u32>,
    /// What the certificate names that was proven with the connection; empty without one.
    pub names: Arc<[CertificateName]>,
    /// Where it called from; none over a Unix socket. It is no identity: rules do not see it.
    pub address: Option<SocketAddr>,
}

/// A name of a certificate. The kinds are apart: `dns:orders.example` is a URI too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// A URI, as the certificate has it.
    Uri(String),
    /// A DNS name, in lower case.
    Dns(String),
}

impl Caller {
    /// Returns the caller of a Unix socket.
    pub fn user(uid: u32) -> Caller {
        Caller { uid: Some(uid), ..Caller::default() }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateName::Uri(uri) => f.write_str(&escape(uri.as_bytes())),
            CertificateName::Dns(name) => write!(f, "dns:{}", escape(name.as_bytes())),
        }
    }
}
