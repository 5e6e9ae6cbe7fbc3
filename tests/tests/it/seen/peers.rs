//! The peers on the page: how each is, or why it does not say.

use anyhow::{Result, ensure};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, STORE, free_port};
use serde_json::Value;

use super::scrape::until_state;
use crate::e2e::{Place, run};

/// What the page shows of the peer at this address.
fn of<'a>(state: &'a Value, node: &Node) -> &'a Value {
    let url = node.url();
    let peers = state["peers"].as_array().map_or(&[][..], Vec::as_slice);
    peers.iter().find(|peer| peer["address"] == url).unwrap_or(&Value::Null)
}

fn why(state: &Value, node: &Node) -> String {
    of(state, node)["why"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_page_shows_the_peers_or_why_they_do_not_answer() -> Result<()> {
    run(async {
        let (place, port) = (Place::new("page-peers", TopicSpec::store())?, free_port()?);
        let mut other = place.peer("other", &[])?;
        other.start().await?;
        other.until_ready().await?;
        let stranger = place.node("stranger")?;
        let secret = place.secret("another", "another-secret-of-another-fleet")?;
        let mut stranger =
            stranger.with_args(&["--peer-secret-file", &secret.display().to_string()]);
        stranger.start().await?;
        let alone = place.ready_node("alone").await?;
        let mut one = place.peer("one", &["--metrics", &format!("127.0.0.1:{port}")])?;
        let peers = [&one, &other, &stranger, &alone].map(Node::url).join(",");
        one = one.with_args(&["--peers", &peers]);
        one.start().await?;
        one.until_ready().await?;

        let ready = |peer: &Value| {
            let store = &peer["stores"][0];
            store["store"] == STORE && store["phase"] == "READY" && store["lag_records"] == 0
        };
        let all = |state: &Value| {
            ready(of(state, &one)) && ready(of(state, &other)) && !why(state, &alone).is_empty()
        };
        let state = until_state(port, "all peers", all).await?;
        ensure!(of(&state, &one)["is_this_node"] == true, "{state}");
        let told = of(&state, &other);
        ensure!(told["is_this_node"] == false && told["why"] == Value::Null, "{told}");
        ensure!(told["version"] == env!("CARGO_PKG_VERSION"), "{told}");
        ensure!(told["stores"][0]["confirmed_age_ms"].as_u64().is_some(), "{told}");
        ensure!(told["state_age_ms"].as_u64().is_some_and(|age| age < 3_000), "{told}");
        let refused = why(&state, &stranger);
        ensure!(refused.contains("the peer secret is another"), "{refused}");
        // So answers a node that offers no such call, or none to peers.
        let silent = why(&state, &alone);
        ensure!(silent.contains("older version"), "{silent}");

        other.kill()?;
        let gone = |state: &Value| why(state, &other).contains("it cannot be reached");
        let state = until_state(port, "a peer that is gone", gone).await?;
        ensure!(of(&state, &other)["stores"] == Value::Array(vec![]), "{state}");
        ensure!(!one.log().contains("panicked"), "{}", one.log());
        Ok(())
    })
}
