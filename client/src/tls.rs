//! TLS to a node: whom to trust there, and the certificate that says who the caller is.

use std::error::Error;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

/// What HTTP/2 over TLS is called.
const HTTP_2: &[u8] = b"h2";

const PORT: u16 = 443;

/// Whom to trust at an `https://` address, and who to be there. All files are in PEM.
///
/// The files are read for each connection, so that a renewed certificate needs nothing but its file; while they are of
/// no use, half of them replaced, say, what they held for the connection before is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    authorities: PathBuf,
    identity: Option<Identity>,
    server_name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
}

/// Why files or a name cannot be used for TLS, with what to do.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TlsError(Fault);

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{} cannot be read ({error}): create it, let this user read it, or give another path", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is no certificate: give one in PEM (BEGIN CERTIFICATE)", .path.display())]
    NoCertificate { path: PathBuf },
    #[error(
        "{} is no private key: give one in PEM without a password (BEGIN PRIVATE KEY)",
        .path.display()
    )]
    NoKey { path: PathBuf },
    #[error(
        "{} cannot be used ({error}): give a certificate and the key that was made with it",
        .path.display()
    )]
    Unfit { path: PathBuf, error: rustls::Error },
    #[error(
        "{name:?} is neither a name of DNS nor an IP address: give what the node's certificate names"
    )]
    NoName { name: String },
}

impl Tls {
    /// Trusts a node whose certificate an authority of this file vouches for.
    pub fn trusting(authorities: impl Into<PathBuf>) -> Tls {
        Tls { authorities: authorities.into(), identity: None, server_name: None }
    }

    /// Shows a node that asks for it this certificate, with those that vouch for it, by its key.
    pub fn with_identity(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Tls {
        let identity = Identity { certificate: certificate.into(), key: key.into() };
        Tls { identity: Some(identity), ..self }
    }

    /// Expects this name of DNS, or this IP address, in the node's certificate, instead of the host that is connected
    /// to.
    pub fn with_server_name(self, name: impl Into<String>) -> Tls {
        Tls { server_name: Some(name.into()), ..self }
    }

    /// Checks that the files and the name can be used now.
    ///
    /// # Errors
    ///
    /// What is wrong with which file, and what to do.
    pub fn check(&self) -> Result<(), TlsError> {
        if let Some(name) = &self.server_name {
            server_name(name).map_err(TlsError)?;
        }
        self.config().map(|_usable| ()).map_err(TlsError)
    }

    /// What connects to an `https://` address, for the `connect_with_connector` of an `Endpoint` of `tonic`. It changes
    /// with that library, and is outside of what this crate promises.
    pub fn connector(&self) -> TlsConnector {
        TlsConnector(Arc::new(Connector { tls: self.clone(), last: Mutex::new(None) }))
    }

    fn config(&self) -> Result<ClientConfig, Fault> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.authorities)? {
            roots.add(certificate).map_err(|error| unfit(&self.authorities, error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has all of them")
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let no_key = |_| Fault::NoKey { path: key.clone() };
                let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(no_key)?;
                let chain = certificates(certificate)?;
                let identified = config.with_client_auth_cert(chain, key);
                identified.map_err(|error| unfit(certificate, error))?
            }
        };
        config.alpn_protocols = vec![HTTP_2.to_vec()];
        Ok(config)
    }
}

/// Makes connections over TLS. Clones share what the files held last.
#[derive(Clone, Debug)]
pub struct TlsConnector(Arc<Connector>);

#[derive(Debug)]
struct Connector {
    tls: Tls,
    last: Mutex<Option<Arc<ClientConfig>>>,
}

/// A connection of [`TlsConnector`].
pub type TlsConnection = TokioIo<TlsStream<TcpStream>>;

type Broken = Box<dyn Error + Send + Sync>;

impl Connector {
    async fn connect(self: Arc<Self>, uri: Uri) -> Result<TlsConnection, Broken> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = server_name(self.tls.server_name.as_deref().unwrap_or(host))?;
        let config = self.config().await?;
        let socket = TcpStream::connect((host, uri.port_u16().unwrap_or(PORT))).await?;
        socket.set_nodelay(true)?;
        let connector = tokio_rustls::TlsConnector::from(config);
        Ok(TokioIo::new(connector.connect(name, socket).await?))
    }

    /// What the files hold, or else what they held for the connection before.
    async fn config(self: &Arc<Self>) -> Result<Arc<ClientConfig>, Fault> {
        let same = Arc::clone(self);
        // A file system may hang.
        let read = tokio::task::spawn_blocking(move || same.tls.config()).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (read.expect("reading files does not panic"), &*last) {
            (Ok(config), _) => Ok(Arc::clone(last.insert(Arc::new(config)))),
            (Err(_), Some(last)) => Ok(Arc::clone(last)),
            (Err(error), None) => Err(error),
        }
    }
}

impl Service<Uri> for TlsConnector {
    type Response = TlsConnection;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(Arc::clone(&self.0).connect(uri))
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, Fault> {
    let none = |_: InvalidDnsNameError| Fault::NoName { name: name.to_owned() };
    ServerName::try_from(name.to_owned()).map_err(none)
}

fn unfit(path: &Path, error: rustls::Error) -> Fault {
    Fault::Unfit { path: path.to_owned(), error }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let none = || Fault::NoCertificate { path: path.to_owned() };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(none)
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|error| Fault::Unreadable { path: path.to_owned(), error })
}
