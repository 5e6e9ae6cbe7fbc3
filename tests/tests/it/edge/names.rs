//! Callers by the names in their certificates: what each may do is what the rules say of the name.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outrigger_client::proto::v1::Reason;
use outrigger_client::{Client, Error, Level, Store, Tls};
use outrigger_tests::authority::Authority;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, STORE};

use crate::e2e::{Place, run};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

const RULES: &str = "
[[access]]
who = ['spiffe://td/ns/shop/*']
prefix = 'user/'
may = ['read']

[[access]]
who = ['dns:reports.example']
may = ['write']

[[access]]
who = ['spiffe://td/operator']
may = ['read', 'write', 'admin']
";

struct Site {
    place: Place,
    authority: Authority,
    node: Node,
}

impl Site {
    async fn ready() -> Result<Site> {
        let place = Place::new("certificate-names", TopicSpec::store())?;
        let authority = Authority::new("all")?;
        let path = |file: &str| place.dir.path().join(file).display().to_string();
        let pair = authority.issue("node", &["127.0.0.1"], YEAR)?;
        fs::write(path("ca.pem"), authority.pem()?)?;
        fs::write(path("node.pem"), pair.certificate)?;
        fs::write(path("node.key"), pair.key)?;
        let settings = format!(
            "tls_certificate = '{}'\ntls_key = '{}'\ntls_client_ca = '{}'\n[[store]]\nname = '{STORE}'\n\
             topic = '{}'\n{RULES}",
            path("node.pem"),
            path("node.key"),
            path("ca.pem"),
            place.topic.name()
        );
        fs::write(path("outrigger.toml"), settings)?;
        let args = ["--bootstrap", &place.bootstrap, "--config", &path("outrigger.toml")];
        let mut node = Node::with_settings(place.dir.path(), "one", &args)?;
        let mut site = {
            node.called_by(None);
            Site { place, authority, node }
        };
        let operator = site.tls("operator", &["spiffe://td/operator"])?;
        site.node.called_by(Some(operator));
        site.node.start().await?;
        site.node.until_ready().await?;
        Ok(site)
    }

    /// A caller's certificate with these names.
    fn tls(&self, caller: &str, names: &[&str]) -> Result<Tls> {
        let pair = self.authority.issue(caller, names, YEAR)?;
        let path = |file: String| self.place.dir.path().join(file);
        let (certificate, key) = (path(format!("{caller}.pem")), path(format!("{caller}.key")));
        fs::write(&certificate, pair.certificate)?;
        fs::write(&key, pair.key)?;
        Ok(Tls::trusting(path("ca.pem".to_owned())).with_identity(certificate, key))
    }

    async fn store(&self, caller: &str, names: &[&str]) -> Result<Store> {
        let client = Client::connect_tls(&self.node.url(), &self.tls(caller, names)?).await?;
        Ok(client.store(STORE).with_level(Level::Local))
    }
}

fn refused<T>(answer: Result<T, Error>, reason: Reason, because: &str) -> Result<()> {
    let error = answer.err().with_context(|| format!("it was answered: {because}"))?;
    ensure!(error.reason() == Some(reason) && !error.may_have_happened(), "{because}: {error:?}");
    ensure!(error.to_string().contains(because), "{because:?} is not in {error}");
    Ok(())
}

#[test]
fn a_certificates_names_have_the_rights_that_rules_give_them_and_no_others() -> Result<()> {
    run(async {
        let site = Site::ready().await?;
        site.node.store().await?.put("user/1", "v").await?;

        let shop = site.store("cart", &["spiffe://td/ns/shop/cart"]).await?;
        shop.get("user/1").await?;
        refused(shop.get("order/1").await, Reason::NotAllowed, "spiffe://td/ns/shop/cart")?;
        refused(shop.put("user/1", "w").await, Reason::NotAllowed, "spiffe://td/ns/shop/cart")?;

        let reports = site.store("reports", &["reports.example"]).await?;
        reports.put("order/1", "v").await?;
        refused(reports.get("order/1").await, Reason::NotAllowed, "reports.example")?;

        // Each name of a certificate has its rights.
        let both = site.store("both", &["reports.example", "spiffe://td/ns/shop/both"]).await?;
        both.put("user/2", "v").await?;
        both.get("user/2").await?;

        // Names that only look like one that has rights.
        for near in ["spiffe://td/ns/shop", "spiffe://td/ns/shops/cart", "spiffe://other/ns/shop/a"]
        {
            let stranger = site.store("near", &[near]).await?;
            refused(stranger.get("user/1").await, Reason::Unauthenticated, "no rule")?;
        }
        for near in ["reports.example.com", "a.reports.example"] {
            let stranger = site.store("near", &[near]).await?;
            refused(stranger.put("user/1", "w").await, Reason::Unauthenticated, "no rule")?;
        }
        // The authority vouches for it, and nobody has given it a name.
        let nobody = site.store("reports.example", &[]).await?;
        refused(nobody.put("user/1", "w").await, Reason::Unauthenticated, "no rule")?;
        Ok(())
    })
}
