//! A node that answers writes when its copy has them: what its operator chose holds for whoever asks for nothing else.

use anyhow::{Context, Result, ensure};
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::{Ack, GetRequest, PutRequest};
use outrigger_tests::kafka::TopicSpec;

use super::{Place, run};

const ROUNDS: u64 = 100;

#[test]
fn a_plain_client_of_a_node_that_answers_applied_writes_finds_what_it_wrote() -> Result<()> {
    run(async {
        let place = Place::new("applied", TopicSpec::store())?;
        let mut node = place.node("one")?.with_args(&["--ack", "applied"]);
        node.start().await?;
        node.until_ready().await?;
        let mut rows = StoreClient::connect(node.url()).await?;
        for round in 0..ROUNDS {
            let value = round.to_string();
            let put = PutRequest {
                key: "k".into(),
                value: value.clone().into(),
                ..PutRequest::default()
            };
            ensure!(rows.put(put).await?.into_inner().applied, "round {round}");
            let get = GetRequest { key: "k".into(), ..GetRequest::default() };
            let found = rows.get(get).await?.into_inner().found.context("it was written")?;
            ensure!(found.value == value, "round {round}: {found:?}");
        }
        let put = PutRequest { key: "k".into(), ack: Ack::Log.into(), ..PutRequest::default() };
        ensure!(!rows.put(put).await?.into_inner().applied, "it asks for the log alone");
        Ok(())
    })
}
