//! How a command reaches nodes: whom it trusts over TLS, and the certificate or the token that it shows.

use std::net::IpAddr;
use std::path::PathBuf;

use hyper::Uri;
use outrigger_client::{Client, Error as CallError, Tls};

use super::bearer::Bearer;
use super::failure::Failure;

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Connect {
    /// Authorities that vouch for nodes at https://HOST:PORT (PEM)
    #[arg(long, env = "OUTRIGGER_CA", value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Certificate to show a node that asks for one (PEM)
    #[arg(long, env = "OUTRIGGER_CERT", value_name = "FILE", requires = "cert_key")]
    cert: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, env = "OUTRIGGER_CERT_KEY", value_name = "FILE", requires = "cert")]
    cert_key: Option<PathBuf>,

    /// Name that a node's certificate must have [default: the host of its URL]
    #[arg(long, env = "OUTRIGGER_SERVER_NAME", value_name = "NAME")]
    server_name: Option<String>,

    /// File with the bearer token to call with, and nothing else, for a node whose rules ask for one
    #[arg(long, env = "OUTRIGGER_TOKEN_FILE", value_name = "FILE", value_parser = Bearer::read)]
    token_file: Option<Bearer>,
}

/// Whether a URL leads to this machine.
fn is_local(server: &str) -> bool {
    let host = server.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

impl Connect {
    /// Refuses an address that cannot be connected to with what was given, before anything is tried.
    pub(super) fn check(&self, server: &str) -> Result<(), Failure> {
        if server.starts_with("https://") && self.ca.is_none() {
            let text =
                format!("{server} speaks TLS: give --ca with the authorities that vouch for it");
            return Err(Failure::Usage(text));
        }
        if self.token_file.is_some() && server.starts_with("http://") && !is_local(server) {
            let text = format!(
                "the token would travel to {server} in plain text: give --server https://... and --ca"
            );
            return Err(Failure::Usage(text));
        }
        Ok(())
    }

    pub(super) async fn client(&self, server: &str) -> Result<Client, CallError> {
        let client = match self.tls().filter(|_| server.starts_with("https://")) {
            Some(tls) => Client::connect_tls(server, &tls).await?,
            None => Client::connect(server).await?,
        };
        client.set_bearer_token(self.token_file.as_ref().map(Bearer::token))?;
        Ok(client)
    }

    fn tls(&self) -> Option<Tls> {
        let mut tls = Tls::trusting(self.ca.as_ref()?);
        if let (Some(cert), Some(key)) = (&self.cert, &self.cert_key) {
            tls = tls.with_identity(cert, key);
        }
        if let Some(name) = &self.server_name {
            tls = tls.with_server_name(name);
        }
        Some(tls)
    }
}
