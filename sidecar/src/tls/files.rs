//! What the files of a listener's TLS hold, and what is made of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::certificate::{Certificate, CertificateError, Role, of_pem};

/// What HTTP/2 over TLS is called.
const HTTP_2: &[u8] = b"h2";

/// Bytes of a file: chains have a few certificates, lists of authorities some hundreds.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The files of TLS of this node's listeners, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub listen: Listen,
    /// The certificate that callers are shown, followed by those that vouch for it.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authorities of callers: whoever shows no certificate of them is turned away. None: nobody is asked for one.
    pub client_ca: Option<PathBuf>,
}

/// Whom a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    Callers,
    Peers,
}

impl Listen {
    /// The setting of its address.
    pub fn setting(self) -> &'static str {
        match self {
            Listen::Callers => "listen",
            Listen::Peers => "peer_listen",
        }
    }

    /// The setting of the authorities of those who come.
    fn ca_setting(self) -> &'static str {
        match self {
            Listen::Callers => "tls_client_ca",
            Listen::Peers => "peer_ca",
        }
    }
}

/// Why no TLS can be made of files. What to do is said with it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{setting}: {} cannot be read ({error}): create it, let this user read it, or give another path", .path.display())]
    Unreadable { setting: &'static str, path: PathBuf, error: io::Error },
    #[error("{setting}: {} is no certificate: give one in PEM (BEGIN CERTIFICATE)", .path.display())]
    NoCertificate { setting: &'static str, path: PathBuf },
    #[error(
        "tls_key: {} is no private key: give one in PEM without a password (BEGIN PRIVATE KEY)",
        .path.display()
    )]
    NoKey { path: PathBuf },
    #[error(
        "tls_key: {} is not the key of the certificate {}: give the pair that was made together",
        .key.display(),
        .certificate.display()
    )]
    NoPair { certificate: PathBuf, key: PathBuf },
    #[error("{setting}: {} cannot be used ({why}): give another", .path.display())]
    Unfit { setting: &'static str, path: PathBuf, why: String },
}

impl TlsError {
    /// The setting that is to be corrected.
    pub fn setting(&self) -> &'static str {
        match self {
            TlsError::Unreadable { setting, .. }
            | TlsError::NoCertificate { setting, .. }
            | TlsError::Unfit { setting, .. } => setting,
            TlsError::NoKey { .. } | TlsError::NoPair { .. } => "tls_key",
        }
    }
}

/// What the files held at one time.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl TlsFiles {
    /// Checks that a listener can use the files as they are now.
    pub fn check(&self) -> Result<(), TlsError> {
        self.server(&self.read()?).map(|_usable| ())
    }

    /// Returns the certificates as they are now, one for each setting that names any.
    pub fn certificates(&self) -> Vec<(&'static str, Result<Certificate, CertificateError>)> {
        let own = ("tls_certificate", Role::Own, Some(&self.certificate));
        let authorities = (self.listen.ca_setting(), Role::Authorities, self.client_ca.as_ref());
        let given = [own, authorities].into_iter();
        let read = |setting, role, path: &PathBuf| of_pem(setting, role, &fs::read(path)?);
        given
            .filter_map(|(setting, role, path)| Some((setting, read(setting, role, path?))))
            .collect()
    }

    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let client_ca = self.client_ca.as_deref().map(|path| read(self.listen.ca_setting(), path));
        Ok(Contents {
            certificate: read("tls_certificate", &self.certificate)?,
            key: read("tls_key", &self.key)?,
            client_ca: client_ca.transpose()?,
        })
    }

    /// Returns what a listener needs of these contents of the files.
    pub(super) fn server(&self, contents: &Contents) -> Result<ServerConfig, TlsError> {
        let chain = certificates("tls_certificate", &self.certificate, &contents.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|_| TlsError::NoKey { path: self.key.clone() })?;
        let provider = provider();
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has all of them");
        let server = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(pem)) => {
                let roots = Arc::new(roots(self.listen.ca_setting(), path, pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let unfit = |why: rustls::server::VerifierBuilderError| TlsError::Unfit {
                    setting: self.listen.ca_setting(),
                    path: path.clone(),
                    why: why.to_string(),
                };
                server.with_client_cert_verifier(verifier.build().map_err(unfit)?)
            }
            _ => server.with_no_client_auth(),
        };
        let mut server = server.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::NoPair { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            other => TlsError::Unfit {
                setting: "tls_certificate",
                path: self.certificate.clone(),
                why: other.to_string(),
            },
        })?;
        server.alpn_protocols = vec![HTTP_2.to_vec()];
        // A session that is resumed is not judged again: neither by its certificate's end nor by renewed authorities.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(server)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(setting: &'static str, path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, path, pem)? {
        roots.add(certificate).map_err(|error| TlsError::Unfit {
            setting,
            path: path.to_owned(),
            why: error.to_string(),
        })?;
    }
    Ok(roots)
}

fn certificates(
    setting: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = || TlsError::NoCertificate { setting, path: path.to_owned() };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(none)
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { setting, path: path.to_owned(), error };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        let large = io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB");
        return Err(unreadable(large));
    }
    fs::read(path).map_err(unreadable)
}
