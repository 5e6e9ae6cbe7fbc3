//! The server's side of TLS: it takes connections with what the files held last, and looks whether they hold something
//! else.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use openssl::x509::X509;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::{Certificate, Validity};
use super::files::{Contents, TlsError, TlsFiles};
use crate::access::{Caller, CertificateName};
use crate::telemetry::metrics;

/// How often the files are looked at: whoever renews them does that long before the old ones end.
const FILES_EVERY: Duration = Duration::from_secs(10);

/// How often it is told that a certificate ends soon.
const EXPIRY_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Clones share it.
#[derive(Clone, Debug)]
pub struct TlsServer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    files: TlsFiles,
    /// What new connections are made with.
    config: ArcSwap<ServerConfig>,
}

/// What a caller has shown of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub caller: Caller,
    /// The first moment after its certificate has ended; none where none was asked for.
    pub ends: Option<SystemTime>,
}

/// Who looks at the files of a server.
pub struct Renewal {
    server: TlsServer,
    /// What the files held when they were of use last.
    taken: Contents,
    /// What was wrong with them at the last look.
    wrong: Option<String>,
    /// It was told that they are of no use.
    told: bool,
    /// When it was told last when they end.
    expiry_told: Instant,
}

impl TlsServer {
    /// Reads the files. They are looked at again only while [`Renewal::run`] does.
    pub fn read(files: TlsFiles) -> Result<(TlsServer, Renewal), TlsError> {
        let taken = files.read()?;
        let config = ArcSwap::from_pointee(files.server(&taken)?);
        let server = TlsServer(Arc::new(Shared { files, config }));
        let renewal = Renewal {
            server: server.clone(),
            taken,
            wrong: None,
            told: false,
            expiry_told: Instant::now(),
        };
        Ok((server, renewal))
    }

    /// Shakes hands with a caller. It takes as long as the caller lets it.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: S,
    ) -> io::Result<(TlsStream<S>, Shown)> {
        let stream = TlsAcceptor::from(self.0.config.load_full()).accept(socket).await?;
        let chain = stream.get_ref().1.peer_certificates();
        let shown = chain.and_then(<[_]>::first).map(shown).transpose()?.unwrap_or_default();
        Ok((stream, shown))
    }
}

impl Renewal {
    /// Looks at the files again and again, and tells when what they hold ends.
    pub async fn run(mut self) {
        tell_expiry(&self.server.0.files);
        let mut ticks = tokio::time::interval(FILES_EVERY);
        loop {
            ticks.tick().await;
            // A file system may hang.
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            self = looked.await.expect("looking at files does not panic");
        }
    }

    fn look(&mut self) {
        match self.renewed() {
            Ok(None) => {
                self.all_is_well();
                // Whoever renews nothing is to hear of it while the node runs on.
                if self.expiry_told.elapsed() >= EXPIRY_EVERY {
                    self.expiry_told = Instant::now();
                    tell_expiry(&self.server.0.files);
                }
            }
            Ok(Some((contents, config))) => {
                self.server.0.config.store(Arc::new(config));
                self.taken = contents;
                tracing::info!(
                    listen = self.server.0.files.listen.setting(),
                    "files of TLS were renewed: new connections are made with them"
                );
                tell_expiry(&self.server.0.files);
                self.all_is_well();
            }
            Err(error) => self.is_wrong(error.to_string()),
        }
    }

    /// Returns what the files hold now and what is made of it; none where they hold what they did.
    fn renewed(&self) -> Result<Option<(Contents, ServerConfig)>, TlsError> {
        let files = &self.server.0.files;
        let now = files.read()?;
        if now == self.taken {
            return Ok(None);
        }
        let config = files.server(&now)?;
        // Files that change meanwhile are taken by the next look, all of them together.
        Ok((files.read()? == now).then_some((now, config)))
    }

    fn all_is_well(&mut self) {
        (self.wrong, self.told) = (None, false);
        metrics::tls_refused(self.server.0.files.listen.setting(), false);
    }

    /// It is told when it is the same at two looks: files that are replaced one after the other are wrong in between.
    fn is_wrong(&mut self, wrong: String) {
        let again = self.wrong.as_ref() == Some(&wrong);
        self.told &= again;
        if again && !self.told {
            self.told = true;
            metrics::tls_refused(self.server.0.files.listen.setting(), true);
            tracing::warn!(
                listen = self.server.0.files.listen.setting(),
                "files of TLS have changed and are not used: {wrong}; what they were before is used until then"
            );
        }
        self.wrong = Some(wrong);
    }
}

/// Tells as metrics when what the files hold ends, and as a warning where that is soon.
fn tell_expiry(files: &TlsFiles) {
    for certificate in files.certificates().into_iter().filter_map(|(_, read)| read.ok()) {
        metrics::tls_certificate(certificate.setting, certificate.holds());
        warn_of(&certificate);
    }
}

fn warn_of(certificate: &Certificate) {
    match certificate.validity(SystemTime::now()) {
        Validity::Holds => {}
        Validity::NotYet | Validity::EndsSoon | Validity::Ended => {
            tracing::warn!(
                "{certificate}: renew it; a node that runs takes the new one within 10 s"
            );
        }
    }
}

/// What a certificate that was checked says. Of one that cannot be read nobody knows when it ends.
fn shown(certificate: &CertificateDer<'_>) -> io::Result<Shown> {
    let x509 = X509::from_der(certificate)?;
    let names = x509.subject_alt_names().into_iter().flatten();
    let names = names.filter_map(|name| {
        let dns = name.dnsname().map(|name| CertificateName::Dns(name.to_lowercase()));
        name.uri().map(|uri| CertificateName::Uri(uri.to_owned())).or(dns)
    });
    let ends = Certificate::of("", &x509)?.ends();
    let ends = u64::try_from(ends).map_err(io::Error::other)?;
    Ok(Shown {
        caller: Caller { names: names.collect(), ..Caller::default() },
        // It holds for the whole of its last second (RFC 5280, section 4.1.2.5).
        ends: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(ends + 1)),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use outrigger_client::Tls;
    use tempfile::TempDir;
    use tokio::net::{TcpListener, TcpStream};
    use tonic::codegen::Service;

    use super::*;
    use crate::tls::Listen;
    use crate::tls::made::Authority;

    /// A node's files, and a caller's.
    struct Files {
        dir: TempDir,
        nodes: Authority,
        callers: Authority,
    }

    impl Files {
        fn new() -> Files {
            let (nodes, callers) = (Authority::new("nodes"), Authority::new("callers"));
            let files = Files { dir: tempfile::tempdir().unwrap(), nodes, callers };
            files.write("nodes.pem", &files.nodes.pem());
            files.write("callers.pem", &files.callers.pem());
            files.renew();
            files.issue("caller", &["spiffe://td/orders", "orders.example"]);
            files
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.dir.path().join(name)
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            fs::write(self.path(name), bytes).unwrap();
        }

        /// Gives the node another pair.
        fn renew(&self) {
            let (certificate, key) = self.nodes.issue(&["node.example"]);
            self.write("node.pem", &certificate);
            self.write("node.key", &key);
        }

        fn issue(&self, caller: &str, names: &[&str]) {
            let (certificate, key) = self.callers.issue(names);
            self.write(&format!("{caller}.pem"), &certificate);
            self.write(&format!("{caller}.key"), &key);
        }

        fn node(&self) -> TlsFiles {
            TlsFiles {
                listen: Listen::Callers,
                certificate: self.path("node.pem"),
                key: self.path("node.key"),
                client_ca: Some(self.path("callers.pem")),
            }
        }

        fn caller(&self) -> Tls {
            let (certificate, key) = (self.path("caller.pem"), self.path("caller.key"));
            let tls = Tls::trusting(self.path("nodes.pem")).with_identity(certificate, key);
            tls.with_server_name("node.example")
        }
    }

    /// Shakes hands once; returns what both say of it.
    async fn shake(
        server: &TlsServer,
        caller: &Tls,
    ) -> (Result<Shown, String>, Result<(), String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let serving = async {
            let (socket, _address) = listener.accept().await.unwrap();
            let shaken = server.accept::<TcpStream>(socket).await;
            shaken.map(|(_stream, shown)| shown).map_err(|error| error.to_string())
        };
        let mut connector = caller.connector();
        let calling = connector.call(address.parse().unwrap());
        let (shown, called) = tokio::join!(serving, calling);
        (shown, called.map(|_stream| ()).map_err(|error| error.to_string()))
    }

    #[tokio::test]
    async fn a_caller_is_known_by_the_names_of_its_certificate() {
        let files = Files::new();
        let (server, _renewal) = TlsServer::read(files.node()).unwrap();
        let (shown, _) = shake(&server, &files.caller()).await;
        let shown = shown.unwrap();
        let uri = CertificateName::Uri("spiffe://td/orders".to_owned());
        let dns = CertificateName::Dns("orders.example".to_owned());
        assert_eq!(*shown.caller.names, [uri, dns]);
        let ends = shown.ends.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(ends.as_secs(), 4_000_000_001);
    }

    #[tokio::test]
    async fn strangers_are_turned_away_on_both_sides() {
        let files = Files::new();
        let (server, _renewal) = TlsServer::read(files.node()).unwrap();
        let nameless = Tls::trusting(files.path("nodes.pem")).with_server_name("node.example");
        let (shown, _) = shake(&server, &nameless).await;
        assert!(shown.unwrap_err().contains("no certificates"), "nobody comes without one");
        let another = files.caller().with_server_name("another.example");
        let (_, called) = shake(&server, &another).await;
        assert!(called.unwrap_err().contains("certificate"), "it is another node");
        let (certificate, key) = files.nodes.issue(&["spiffe://td/orders"]);
        files.write("caller.pem", &certificate);
        files.write("caller.key", &key);
        let (shown, _) = shake(&server, &files.caller()).await;
        assert!(shown.is_err(), "callers' certificates are not from the nodes' authority");
    }

    #[tokio::test]
    async fn a_renewed_pair_is_taken_when_it_is_one_and_what_was_before_until_then() {
        let files = Files::new();
        let (server, mut renewal) = TlsServer::read(files.node()).unwrap();
        let before = server.0.config.load_full();
        let is_as_before = || Arc::ptr_eq(&before, &server.0.config.load_full());
        renewal.look();
        assert!(is_as_before(), "nothing has changed");
        let key = fs::read(files.path("node.key")).unwrap();
        files.renew();
        let renewed = fs::read(files.path("node.key")).unwrap();
        for half in [&key[..], &renewed[..40]] {
            files.write("node.key", half);
            renewal.look();
            assert!(is_as_before() && !renewal.told, "it is about to be another");
        }
        renewal.look();
        assert!(renewal.told, "it stays as it is");
        let (shown, called) = shake(&server, &files.caller()).await;
        shown.and(called).expect("what was before is used");
        files.write("node.key", &renewed);
        renewal.look();
        assert!(!is_as_before() && !renewal.told);
        let (shown, called) = shake(&server, &files.caller()).await;
        shown.and(called).unwrap();
    }

    #[tokio::test]
    async fn whoever_renews_the_authorities_decides_who_comes_from_then_on() {
        let files = Files::new();
        let (server, mut renewal) = TlsServer::read(files.node()).unwrap();
        files.write("callers.pem", &Authority::new("others").pem());
        renewal.look();
        let (shown, _) = shake(&server, &files.caller()).await;
        assert!(shown.is_err());
    }

    #[test]
    fn what_cannot_be_used_is_told_by_its_setting_and_file() {
        let files = Files::new();
        let fault = |node: TlsFiles| {
            let error = TlsServer::read(node).err().expect("it is of no use");
            (error.setting(), error.to_string())
        };
        let path = |name: &str| files.path(name);
        let is_named = |(setting, text): (&str, String), wanted, path: &Path, what: &str| {
            assert_eq!(setting, wanted, "{text}");
            assert!(text.contains(what) && text.contains(&path.display().to_string()), "{text}");
        };
        let missing = TlsFiles { certificate: path("none"), ..files.node() };
        is_named(fault(missing), "tls_certificate", &path("none"), "cannot be read");
        let no_certificate = TlsFiles { certificate: path("node.key"), ..files.node() };
        is_named(fault(no_certificate), "tls_certificate", &path("node.key"), "no certificate");
        let no_key = TlsFiles { key: path("node.pem"), ..files.node() };
        is_named(fault(no_key), "tls_key", &path("node.pem"), "no private key");
        let no_pair = TlsFiles { key: path("caller.key"), ..files.node() };
        is_named(fault(no_pair), "tls_key", &path("caller.key"), "not the key of");
        let no_ca = TlsFiles { client_ca: Some(path("node.key")), ..files.node() };
        is_named(fault(no_ca), "tls_client_ca", &path("node.key"), "no certificate");
    }
}
