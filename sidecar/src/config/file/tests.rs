//! What is wrong with a file is told with its line, and without its values.

use super::*;

#[derive(Debug, Default, PartialEq)]
struct Read {
    data: Option<String>,
    lag: Option<u64>,
    peers: Option<Vec<String>>,
    format: Option<u8>,
    kafka: BTreeMap<String, String>,
    stores: Vec<(String, Option<bool>, Option<u32>)>,
}

fn read(source: &str) -> (Read, Faults) {
    parse(source, |file| Read {
        data: file.text("data"),
        lag: file.number("ready_lag_max"),
        peers: file.texts("peers"),
        format: file.choice("log_format", &[("text", 1), ("json", 2)]),
        kafka: file.settings("kafka"),
        stores: file.stores("store", |store| {
            let (create, partitions) = (store.truth("create"), store.number("partitions"));
            Some((store.needed_text("name")?, create, partitions))
        }),
    })
}

fn told(source: &str) -> Vec<String> {
    read(source).1.faults.iter().map(|fault| fault.text(Path::new("o.toml"))).collect()
}

#[test]
fn what_is_right_is_taken() {
    let source = "data = '/d'\nready_lag_max = 1_000\npeers = ['a', 'b']\nlog_format = 'json'\n\
                  [kafka]\nsasl.password = 'p'\n'client.id' = 'me'\nretries = 0x10\nlog.queue = true\n\
                  [[store]]\nname = 's'\ncreate = true\npartitions = 3\n[[store]]\nname = 't'\n";
    let (taken, faults) = read(source);
    assert_eq!((faults.faults, faults.unusable), (vec![], vec![]));
    let kafka =
        [("client.id", "me"), ("log.queue", "true"), ("retries", "16"), ("sasl.password", "p")];
    let kafka = kafka.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let expected = Read {
        data: Some("/d".to_owned()),
        lag: Some(1_000),
        peers: Some(vec!["a".to_owned(), "b".to_owned()]),
        format: Some(2),
        kafka: BTreeMap::from(kafka),
        stores: vec![("s".to_owned(), Some(true), Some(3)), ("t".to_owned(), None, None)],
    };
    assert_eq!(taken, expected);
}

#[test]
fn every_fault_is_told_with_its_line_and_what_was_meant() {
    let source = "dta = '/d'\nready_lag_max = '7'\npeers = 'a'\nlog_format = 'jsno'\nxyzzy = 1\n\
                  [kafka]\nclient.id = [1]\n[[store]]\nnmae = 's'\nCreate = 1\npartitions = -1\n[[store]]\n";
    let expected = [
        "o.toml:1: `dta` is not a setting: did you mean `data`?",
        "o.toml:2: ready_lag_max: it must be a whole number from 0 on, without quotes, and is text",
        "o.toml:3: peers: it must be a list of texts, [\"…\", \"…\"], and is text",
        "o.toml:4: log_format: it is not one of `text`, `json`: did you mean `json`?",
        "o.toml:5: `xyzzy` is not a setting: what else there is: `data`",
        "o.toml:7: client.id: it must be text in quotes, a whole number or a truth value, and is a list",
        "o.toml:9: `nmae` is not a setting of a store: did you mean `name`?",
        "o.toml:10: `Create` is not a setting of a store: did you mean `create`?",
        "o.toml:11: partitions: it must be a whole number from 0 on, without quotes, and is another number",
        "o.toml:12: `name` of a store is missing here: add it",
    ];
    assert_eq!(told(source), expected);
}

#[test]
fn what_is_given_and_cannot_be_used_is_not_missing() {
    assert_eq!(read("dta = 'd'\npeers = 1\n[[store]]\n").1.unusable, ["peers", "store", "data"]);
}

#[test]
fn all_that_is_no_toml_is_told() {
    let all = told("data = \nlisten = here\nlog = 'x'\nsocket = [\n");
    assert!(all.len() >= 3, "{all:#?}");
    for (line, told) in [1, 2, 4].into_iter().zip(&all) {
        assert!(told.starts_with(&format!("o.toml:{line}: this is not TOML: ")), "{all:#?}");
    }
}

/// It is so whatever is wrong around it, and wherever it was written by mistake.
#[test]
fn a_value_is_never_quoted() {
    let forms = [
        "sasl.password = hunter2",
        "sasl.password = 'hunter2",
        "sasl.password = [hunter2]",
        "sasl.password = \"hunter2\\q\"",
        "data = ['hunter2']",
        "ready_lag_max = 'hunter2'",
        "log_format = 'hunter2'",
        "store = 'hunter2'",
        "peers = 'hunter2'",
        "data = { a = 'hunter2' }",
        "data = 'a' 'hunter2'",
        "data = 1979-05-27T07:32:00hunter2",
        "kafka = 'hunter2'",
        "[kafka]\nsasl.password = ['hunter2']",
        "[[store]]\nname = ['hunter2']",
        "data = 'x'\ndata = 'hunter2'",
        "data = 0xhunter2",
        "data = \"\"\"hunter2",
        "data = 'hunter2'\n[data]",
        "data = 'hunter2'\ndata.x = 1",
    ];
    for form in forms {
        let told = told(form);
        assert!(!told.is_empty(), "{form}");
        assert!(told.iter().all(|text| !text.contains("unter2")), "{form}: {told:?}");
    }
}
