//! A broker that asks who somebody is and what they may do: TLS, SASL and ACLs beside the harness's own plain way in.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use super::cluster::Cluster;
use super::java;
use super::ports;
use crate::authority::{Authority, Pair};

/// Who vouches for clients, which a broker trusts: certificate and key, in its cluster's directory.
const CLIENTS: &str = "clients.pem";
const CLIENTS_KEY: &str = "clients.key";

/// The password of the broker's key and of every user.
const PASSWORD: &str = "outrigger";

/// How long an OAUTHBEARER session lasts before the broker wants a new token.
const SESSION_MS: &str = "4000";

static SECURED: OnceLock<Result<Cluster, String>> = OnceLock::new();

/// The ways in for clients that say who they are. Whoever comes by the plain one is the super user, as the harness is.
pub(super) struct Secured {
    ssl: u16,
    scram: u16,
    oauth: u16,
    mutual: u16,
}

impl Secured {
    pub(super) fn new() -> Result<Secured> {
        let [ssl, scram, oauth] = [ports::free()?, ports::free()?, ports::free()?];
        Ok(Secured { ssl, scram, oauth, mutual: ports::free()? })
    }

    pub(super) fn listeners(&self) -> [(&'static str, u16); 4] {
        [
            ("SSL", self.ssl),
            ("SASL_SSL", self.scram),
            ("SASL_PLAINTEXT", self.oauth),
            ("MUTUAL", self.mutual),
        ]
    }
}

/// How a client comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// TLS, without a name.
    Ssl,
    /// SCRAM-SHA-512 over TLS.
    Scram,
    /// OAUTHBEARER with tokens that nobody signed, in plain text.
    OAuth,
    /// TLS, with a certificate of [`Cluster::issue`].
    Mutual,
}

impl Way {
    fn listener(self) -> &'static str {
        match self {
            Way::Ssl => "SSL",
            Way::Scram => "SASL_SSL",
            Way::OAuth => "SASL_PLAINTEXT",
            Way::Mutual => "MUTUAL",
        }
    }
}

impl Cluster {
    /// A secured broker of a test's own, to be stopped and started.
    pub fn start_secured() -> Result<Cluster> {
        Cluster::start_one_secured()
    }

    /// The test process's own secured broker, started by whoever asks first. Its tests use topics and users of their
    /// own.
    pub fn secured() -> Result<&'static Cluster> {
        SECURED
            .get_or_init(|| Cluster::start_secured().map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow!("the secured cluster did not start: {error}"))
    }

    /// Where a client comes in by `way`.
    pub fn way(&self, way: Way) -> Result<String> {
        self.secured_address(way.listener()).context("this cluster is not secured")
    }

    /// The certificate that whoever comes by TLS must trust.
    pub fn authority(&self) -> PathBuf {
        self.directory().join("authority.pem")
    }

    /// What a user of [`Cluster::add_user`] tells librdkafka.
    pub fn scram(&self, user: &str) -> Vec<String> {
        vec![
            "security.protocol=SASL_SSL".to_owned(),
            format!("ssl.ca.location={}", self.authority().display()),
            "sasl.mechanism=SCRAM-SHA-512".to_owned(),
            format!("sasl.username={user}"),
            format!("sasl.password={PASSWORD}"),
        ]
    }

    /// A certificate for `CN=name` that ends after `life`, and its key, both in PEM.
    pub fn issue(&self, name: &str, life: Duration) -> Result<(Vec<u8>, Vec<u8>)> {
        let (certificate, key) = clients(self.directory());
        let authority = Authority::read(&certificate, &key);
        let authority = authority.context("this cluster is not secured")?;
        let Pair { certificate, key } = authority.issue(name, &[], life)?;
        Ok((certificate, key))
    }

    pub fn add_user(&self, user: &str) -> Result<()> {
        let password = format!("SCRAM-SHA-512=[iterations=4096,password={PASSWORD}]");
        let arguments =
            ["--alter", "--add-config", &password, "--entity-type", "users", "--entity-name", user];
        self.tool("kafka.admin.ConfigCommand", &arguments)
    }

    /// Lets `user` do these on a topic: `Read`, `Write`, `Describe`, `DescribeConfigs`, `Create`.
    pub fn allow(&self, user: &str, topic: &str, operations: &[&str]) -> Result<()> {
        self.acl(["--add", "--allow-principal"], user, topic, operations)
    }

    /// Takes back what [`Cluster::allow`] gave.
    pub fn forbid(&self, user: &str, topic: &str, operations: &[&str]) -> Result<()> {
        self.acl(["--remove", "--allow-principal"], user, topic, operations)
    }

    /// Takes these operations from `user` whatever else it has: who may read or write a topic may also describe it.
    pub fn deny(&self, user: &str, topic: &str, operations: &[&str]) -> Result<()> {
        self.acl(["--add", "--deny-principal"], user, topic, operations)
    }

    /// Takes back what [`Cluster::deny`] did.
    pub fn deny_no_more(&self, user: &str, topic: &str, operations: &[&str]) -> Result<()> {
        self.acl(["--remove", "--deny-principal"], user, topic, operations)
    }

    /// Lets `user` do these with groups whose names begin with `prefix`: `Read`, `Describe`, `Delete`.
    pub fn allow_groups(&self, user: &str, prefix: &str, operations: &[&str]) -> Result<()> {
        let of = ["--group", prefix, "--resource-pattern-type", "prefixed"];
        self.acl_of(["--add", "--allow-principal"], user, &of, operations)
    }

    fn acl(
        &self,
        [change, kind]: [&str; 2],
        user: &str,
        topic: &str,
        operations: &[&str],
    ) -> Result<()> {
        self.acl_of([change, kind], user, &["--topic", topic], operations)
    }

    fn acl_of(
        &self,
        [change, kind]: [&str; 2],
        user: &str,
        of: &[&str],
        operations: &[&str],
    ) -> Result<()> {
        let principal = format!("User:{user}");
        let mut arguments = vec![change, "--force", kind, &principal];
        arguments.extend(of);
        arguments.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
        self.tool("org.apache.kafka.tools.AclCommand", &arguments)
    }

    fn tool(&self, class: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.java_command(class);
        let output = command
            .args(["--bootstrap-server", &self.bootstrap()])
            .args(arguments)
            .output()
            .with_context(|| format!("starting {class}"))?;
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{class}: {out}{err}");
        Ok(())
    }
}

fn clients(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.join(CLIENTS), directory.join(CLIENTS_KEY))
}

/// Makes those who vouch for clients.
pub(super) fn make_authority(directory: &Path) -> Result<()> {
    let (certificate, key) = clients(directory);
    Authority::new("authority")?.save(&certificate, &key)
}

/// What the broker must be told, once its key and the clients' authority are there.
pub(super) fn settings(key: &Path) -> Vec<(String, String)> {
    let login = |listener: &str, mechanism: &str, module: &str| {
        (
            format!("listener.name.{listener}.{mechanism}.sasl.jaas.config"),
            format!("org.apache.kafka.common.security.{module};"),
        )
    };
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut settings = vec![
        ("ssl.keystore.location".to_owned(), key.display().to_string()),
        (
            "listener.name.mutual.ssl.truststore.location".to_owned(),
            key.with_file_name(CLIENTS).display().to_string(),
        ),
        login("sasl_ssl", "scram-sha-512", "scram.ScramLoginModule required"),
        login(
            "sasl_plaintext",
            "oauthbearer",
            "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\"",
        ),
    ];
    settings.extend(
        [
            ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            ("super.users", "User:ANONYMOUS"),
            ("listener.name.mutual.ssl.truststore.type", "PEM"),
            ("listener.name.mutual.ssl.client.auth", "required"),
            ("ssl.keystore.type", "PKCS12"),
            ("ssl.keystore.password", PASSWORD),
            ("ssl.key.password", PASSWORD),
            ("listener.name.sasl_ssl.sasl.enabled.mechanisms", "SCRAM-SHA-512"),
            ("listener.name.sasl_plaintext.sasl.enabled.mechanisms", "OAUTHBEARER"),
            ("listener.name.sasl_plaintext.oauthbearer.connections.max.reauth.ms", SESSION_MS),
        ]
        .map(owned),
    );
    settings
}

/// Makes a key with a certificate for 127.0.0.1 that it signed itself, and that certificate beside it for those who are
/// to trust it.
pub(super) fn make_key(directory: &Path) -> Result<PathBuf> {
    let key = directory.join("broker.p12");
    let store = key.display().to_string();
    let shared = ["-alias", "broker", "-storetype", "PKCS12", "-storepass", PASSWORD];
    keytool(
        &["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "2"],
        |tool| {
            tool.args(["-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1", "-ext", "bc=ca:true"]);
            tool.args(["-keystore", &store]).args(shared);
        },
    )?;
    keytool(&["-exportcert", "-rfc"], |tool| {
        tool.arg("-file").arg(directory.join("authority.pem"));
        tool.args(["-keystore", &store]).args(shared);
    })?;
    Ok(key)
}

/// Runs a tool that comes with every Java.
fn keytool(arguments: &[&str], more: impl FnOnce(&mut Command)) -> Result<()> {
    let mut command = Command::new(java::program().with_file_name("keytool"));
    command.args(arguments).stdin(Stdio::null());
    more(&mut command);
    let output = command.output().context("starting keytool")?;
    ensure!(output.status.success(), "keytool: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
