//! Each bad input gives its own message, and the message says what to do.

use clap::Parser;

use super::super::{Creation, SocketConfig, StoreConfig};
use super::*;
use crate::telemetry::LogFormat;

const MINIMAL: &str = r#"
    data = "/var/lib/outrigger"
    bootstrap = "127.0.0.1:9092"
    [[store]]
    name = "orders"
"#;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    serve: ServeArgs,
}

fn resolve(flags: &[&str], file: &str) -> Result<ServeConfig, ConfigError> {
    let line = Line::try_parse_from([&["outrigger"], flags].concat()).unwrap();
    line.serve.resolve_over(ReadFile::parse(file))
}

/// Returns the only problem's message.
fn problem(flags: &[&str], file: &str) -> String {
    let problems = problems(flags, file);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

fn problems(flags: &[&str], file: &str) -> Vec<String> {
    let error = resolve(flags, file).expect_err("the configuration is wrong");
    error.problems.iter().map(Problem::to_string).collect()
}

/// Returns what is wrong with a file, for `mutated_tests`.
pub(super) fn problems_of_file(file: &str) -> Vec<String> {
    let problems = |error: ConfigError| error.problems.iter().map(Problem::to_string).collect();
    resolve(&[], file).map_or_else(problems, |_right| Vec::new())
}

pub(super) fn resolved(file: &str) -> bool {
    resolve(&[], file).is_ok()
}

/// Returns `MINIMAL` with `store` instead of its store.
fn with_stores(stores: &str) -> String {
    format!("data = '/d'\nbootstrap = 'b:9092'\n{stores}")
}

fn store(name: &str, topic: &str, create: Option<u32>) -> StoreConfig {
    StoreConfig {
        name: super::super::StoreName::parse(name).unwrap(),
        topic: super::super::TopicName::parse(topic).unwrap(),
        create: create.map(|partitions| Creation { partitions, replication: None }),
    }
}

#[test]
fn memory_is_a_size_and_enough() {
    assert_eq!(resolve(&["--memory", "1GiB"], MINIMAL).unwrap().memory_bytes, 1 << 30);
    let unitless = problem(&["--memory", "256"], MINIMAL);
    assert!(unitless.contains("`256` is not a size") && unitless.contains("256MiB"), "{unitless}");
    let little = problem(&["--memory", "8MiB"], MINIMAL);
    assert!(little.contains("at least 64 MiB"), "{little}");
}

#[test]
fn a_restore_rate_is_a_size_a_second() {
    let rate = |flags: &[&str]| resolve(flags, MINIMAL).unwrap().restore_rate.map(NonZeroU64::get);
    assert_eq!((rate(&[]), rate(&["--restore-rate", "off"])), (None, None));
    assert_eq!(rate(&["--restore-rate", "10MiB"]), Some(10 << 20));
    let unitless = problem(&["--restore-rate", "10"], MINIMAL);
    assert!(unitless.contains("restore_rate: `10` is not a rate"), "{unitless}");
    let zero = problem(&["--restore-rate", "0MiB"], MINIMAL);
    assert!(zero.contains("outrigger cancel"), "{zero}");
}

#[test]
fn little_is_needed_and_the_rest_has_defaults() {
    let config = resolve(&[], MINIMAL).unwrap();
    assert_eq!(config.data, Path::new("/var/lib/outrigger"));
    assert_eq!(config.kafka.bootstrap, "127.0.0.1:9092");
    assert_eq!(config.listen, Some("127.0.0.1:7400".parse().unwrap()));
    assert_eq!((config.socket, config.metrics, config.ready_lag_max), (None, None, None));
    assert_eq!(config.memory_bytes, 256 << 20);
    let node = Some("outrigger".to_owned());
    assert_eq!(config.log, LogConfig { format: LogFormat::Text, filter: "info".to_owned(), node });
    assert_eq!(config.stores, [store("orders", "orders", None)]);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn flags_alone_describe_a_node_with_one_store() {
    let flags = "--data /d --bootstrap a:1,b:2 --store s --topic t --create --partitions 6 --listen off --socket /tmp/outrigger-nobody-s";
    let config = resolve(&flags.split(' ').collect::<Vec<_>>(), "").unwrap();
    assert_eq!(config.kafka.bootstrap, "a:1,b:2");
    assert_eq!(
        (config.listen, config.socket),
        (None, Some(SocketConfig::private("/tmp/outrigger-nobody-s".into())))
    );
    assert_eq!(config.stores, [store("s", "t", Some(6))]);
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = format!("listen = '127.0.0.1:1'\nmetrics = '127.0.0.1:2'\nlog = 'warn'\n{MINIMAL}");
    let config = resolve(&["--listen", "127.0.0.1:3", "--log-format", "json"], &file).unwrap();
    assert_eq!(config.listen, Some("127.0.0.1:3".parse().unwrap()));
    assert_eq!(config.metrics, Some("127.0.0.1:2".parse().unwrap()));
    assert_eq!((config.log.format, config.log.filter.as_str()), (LogFormat::Json, "warn"));
}

#[test]
fn every_problem_is_told_at_once() {
    let file = "listen = 'here'\n[kafka]\nacks = 1\n[[store]]\nname = 'a/b'\n";
    let problems = problems(&["--log", "loud=very"], file);
    let topics = ["bootstrap:", "data:", "listen:", "log:", "kafka: ", "store: `a/b`"];
    for topic in topics {
        assert!(
            problems.iter().any(|problem| problem.starts_with(topic)),
            "{topic} in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), topics.len(), "{problems:#?}");
    let text = resolve(&[], file).unwrap_err().to_string();
    assert!(text.starts_with("the configuration is wrong in 5 places"), "{text}");
}

/// Reads the configuration of a file by its path, and returns why it is refused.
fn refused(text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let serve = ServeArgs { config: Some(file.path().to_owned()), ..ServeArgs::default() };
    let path = file.path().to_str().unwrap().to_owned();
    serve.resolve().unwrap_err().to_string().replace(&path, "o.toml")
}

#[test]
fn the_faults_of_the_file_are_told_beside_all_others() {
    let text = refused(
        "data = '/d'\nlistn = 'x'\nbootstrap = 5\nlog = 'loud=very'\nlog_format = 'jsno'\n\
         [[store]]\nname = 's'\nreplicas = 3\n[[store]]\nname = 'a/b'\n",
    );
    let expected = "the configuration is wrong in 6 places, nothing was opened:\n  \
        - config: o.toml:2: `listn` is not a setting: did you mean `listen`?\n  \
        - config: o.toml:3: bootstrap: it must be text in quotes, and is another number\n  \
        - config: o.toml:5: log_format: it is not one of `text`, `json`: did you mean `json`?\n  \
        - config: o.toml:8: `replicas` is not a setting of a store: what else there is: ";
    assert!(text.starts_with(expected), "{text}");
    for also in ["\n  - log: `loud=very`", "\n  - store: `a/b`"] {
        assert!(text.contains(also), "{text}");
    }
}

#[test]
fn a_value_that_is_wrong_is_told_with_its_line_and_what_was_meant() {
    let text = refused(
        "data = '/d'\nbootstrap = 'b'\nlisten = 'here'\nmemory = '7'\npeer_rate = '1MiB'\n\n[kafka]\n\
         sasl.passwrd = 'hunter2'\n'security.protcol' = 'hunter2'\nsecurity.protocol = 'TLS'\n[[store]]\nname = 's'\n\
         [[store]]\nname = 'a/b'\n[[store]]\nname = 't'\n\ntopic = 's'\n[[store]]\nname = 'u'\npartitions = 3\n",
    );
    let lines = [
        "- bootstrap: `b` is not a broker's address: give HOST:PORT, several separated by commas (o.toml:2)\n",
        "or `off` (o.toml:3)\n",
        "such as 256MiB or 1GiB (o.toml:4)\n",
        "https:// for every peer (o.toml:5)\n",
        "- kafka: sasl.passwrd: librdkafka has no setting of this name: did you mean `sasl.password`? (o.toml:8)\n",
        ": did you mean `security.protocol`? (o.toml:9)\n",
        "- kafka: security.protocol: Invalid value",
        "(o.toml:10)\n",
        "and `-` of ASCII (o.toml:14)\n",
        "one topic is one store, remove one (o.toml:18)",
        "leave partitions to the topic that exists (o.toml:21)\n",
    ];
    for line in lines {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(text.starts_with("the configuration is wrong in 10 places"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_setting_for_librdkafka_is_told_with_the_line_of_its_variable_or_the_number_of_its_flag() {
    let lines = "client.id=me\nsasl.usrname=x";
    let told = problems(&["--kafka-lines", lines, "--kafka", "acks=1"], MINIMAL);
    assert!(told.iter().any(|told| told.ends_with("(--kafka number 1)")), "{told:#?}");
    let meant = "did you mean `sasl.username`? (line 2 of OUTRIGGER_KAFKA)";
    assert!(told.iter().any(|told| told.ends_with(meant)), "{told:#?}");
    assert_eq!(told.len(), 2, "{told:#?}");
}

#[test]
fn a_copy_on_disk_is_found_by_the_files_settings() {
    let disk = |text: &str, data: Option<&str>, store: Option<&str>| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let store = store.map(|name| StoreName::parse(name).unwrap());
        let config = Some(file.path().to_owned());
        let args = DiskArgs { config, data: data.map(PathBuf::from), store };
        let resolved = args.resolve().map_err(|error| error.to_string());
        resolved.map(|(data, store)| (data.display().to_string(), store.to_string()))
    };
    let found = |data: &str, store: &str| Ok((data.to_owned(), store.to_owned()));
    assert_eq!(disk(MINIMAL, None, None), found("/var/lib/outrigger", "orders"));
    assert_eq!(disk(MINIMAL, Some("/d"), Some("gone")), found("/d", "gone"));
    let several = with_stores("[[store]]\nname = 'a'\n[[store]]\nname = 'b'");
    let error = disk(&several, None, None).unwrap_err();
    assert!(error.contains("give --store, one of a, b"), "{error}");
    assert_eq!(disk(&several, None, Some("b")), found("/d", "b"));
    let error = disk("listn = 'x'", None, None).unwrap_err();
    for part in ["did you mean `listen`?", "give --data", "give --store NAME"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_or_parsed_is_named() {
    let missing = ServeArgs { config: Some("/nonexistent/o.toml".into()), ..ServeArgs::default() };
    let text = missing.resolve().unwrap_err().to_string();
    assert!(text.contains("cannot read /nonexistent/o.toml"), "{text}");
    let text = refused("data = ");
    assert!(text.contains("o.toml:1: this is not TOML: ") && !text.contains("bootstrap"), "{text}");
}

/// A configuration that is wrong is printed, and what is printed ends up in logs.
#[test]
fn a_secret_is_in_no_message() {
    let files = [
        "[kafka]\nsasl.password = hunter2",
        "[kafka]\nsasl.password = 'hunter2",
        "[kafka]\nsasl.password = ['hunter2']",
        "[kafka]\nsecurity.protocol = 'hunter2'",
        "[kafka]\nssl.key.location = 'hunter2'",
        "[kafka]\nretries = 'hunter2'",
        "kafka = 'sasl.password=hunter2'",
        "sasl.password = 'hunter2'",
        "bootstrap = 'me:hunter2@kafka'",
        "peers = ['https://me:hunter2@b:1']",
    ];
    for file in files {
        let text = refused(file);
        assert!(!text.contains("unter2"), "{file}: {text}");
    }
    let lines = "sasl.password\n hunter2\nMIIhunter2==\nssl.key.pem";
    for flags in [["--kafka", "hunter2"], ["--kafka", "=hunter2"], ["--kafka-lines", lines]] {
        let text = resolve(&flags, MINIMAL).unwrap_err().to_string();
        assert!(!text.contains("unter2") && text.contains("give KEY=VALUE"), "{text}");
    }
}

#[test]
fn a_node_needs_data_brokers_and_a_store() {
    let problems = problems(&[], "");
    for (problem, advice) in problems.iter().zip(["--bootstrap", "--data", "--store"]) {
        assert!(problem.contains(advice), "{problems:#?}");
    }
    assert_eq!(problems.len(), 3, "{problems:#?}");
    let text = problem(&[], "data = ''\nbootstrap = 'b:9092'\n[[store]]\nname = 's'");
    assert!(text.starts_with("data: the path is empty"), "{text}");
}

#[test]
fn a_broker_is_a_host_and_a_port() {
    for good in ["a:1", " a:1 , b:2,", "[::1]:9092", "10.0.0.1:65535"] {
        assert!(resolve(&["--bootstrap", good], MINIMAL).is_ok(), "{good}");
    }
    for bad in
        ["a", "a:", ":1", "a:0", "a:65536", "a b:1", "::1:9092", "[x]:1", "kafka://a:1", "a:1;b:2"]
    {
        let text = problem(&["--bootstrap", bad], MINIMAL);
        assert!(text.contains(&format!("`{bad}`")) && text.contains("HOST:PORT"), "{text}");
    }
    assert!(problem(&["--bootstrap", " , "], MINIMAL).starts_with("bootstrap: no broker"));
    assert_eq!(problems(&["--bootstrap", "a,b:1,c"], MINIMAL).len(), 2);
}

#[test]
fn an_address_is_a_number_and_a_port_or_off() {
    for key in ["listen", "metrics"] {
        for bad in ["localhost:7400", "7400", "127.0.0.1", "127.0.0.1:70000", "", "on"] {
            let text = problem(&[&format!("--{key}"), bad], MINIMAL);
            assert!(text.starts_with(&format!("{key}: `{bad}` is not an address")), "{text}");
        }
    }
}

#[test]
fn traces_go_to_a_collector_in_plain_text_or_nowhere() {
    let traces = |flags: &[&str]| {
        resolve(flags, MINIMAL).unwrap().traces.map(|collector| collector.to_string())
    };
    assert_eq!((traces(&[]), traces(&["--traces", "off"])), (None, None));
    let there = "http://127.0.0.1:4317";
    assert_eq!(traces(&["--traces", there]).as_deref(), Some(there));
    let text = problem(&["--traces", "http://somebody:secret@collector:4317"], MINIMAL);
    assert!(text.starts_with("traces: `…@collector:4317`") && text.contains(there), "{text}");
    let text = problem(&["--traces", "https://collector:4317"], MINIMAL);
    assert!(text.contains("no TLS") && text.contains(there), "{text}");
    let file = format!("traces = 'collector'\n{MINIMAL}");
    let text = problem(&[], &file);
    assert!(text.starts_with("traces: `collector`") && text.ends_with("the file:1)"), "{text}");
}

#[test]
fn a_node_that_nobody_could_call_is_refused() {
    assert!(problem(&["--listen", "off"], MINIMAL).starts_with("listen: it is `off`"));
}

#[test]
fn one_address_cannot_serve_two_things() {
    let text = problem(&["--metrics", "127.0.0.1:7400"], MINIMAL);
    assert!(text.starts_with("metrics: 127.0.0.1:7400"), "{text}");
    assert!(resolve(&["--metrics", "127.0.0.1:0", "--listen", "127.0.0.1:0"], MINIMAL).is_ok());
}

#[test]
fn an_open_address_needs_tls_and_rules_or_the_word_that_it_is_meant() {
    let open = ["--listen", "0.0.0.0:7400", "--metrics", "[::]:1"];
    let told = problem(&open, MINIMAL);
    assert!(told.starts_with("listen: whoever reaches 0.0.0.0:7400"), "{told}");
    for missing in ["--tls-certificate", "[[access]]", "--insecure"] {
        assert!(told.contains(missing), "{missing}: {told}");
    }
    let rules = format!("{MINIMAL}[[access]]\nwho = ['uid:0']\nmay = ['read']\n");
    let told = problem(&open, &rules);
    assert!(told.contains("give --tls-certificate and --tls-key; or"), "{told}");
    let (_file, secret) = secret(SECRET);
    let peers = ["--peer-listen", "10.0.0.1:1", "--peer-secret-file", &secret];
    let told = problem(&peers, MINIMAL);
    assert!(told.starts_with("peer_listen: 10.0.0.1:1 can be reached"), "{told}");

    let meant = [&open[..], &peers, &["--insecure"]].concat();
    let warnings = resolve(&meant, MINIMAL).unwrap().warnings;
    let begins = ["listen 0.0.0.0:7400", "peer_listen 10.0.0.1:1", "metrics [::]:1"];
    assert!(
        warnings.iter().zip(begins).all(|(text, begin)| text.starts_with(begin)),
        "{warnings:?}"
    );
    let in_the_file = format!("insecure = true\n{MINIMAL}");
    assert!(resolve(&open, &in_the_file).is_ok());
    assert!(resolve(&[&open[..], &["--insecure=false"]].concat(), &in_the_file).is_err());
}

#[test]
fn beside_a_socket_nothing_listens_that_nobody_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s").display().to_string();
    assert_eq!(resolve(&["--socket", &socket], MINIMAL).unwrap().listen, None);
    let both = resolve(&["--socket", &socket, "--listen", "127.0.0.1:1"], MINIMAL).unwrap();
    assert!(both.listen.is_some() && both.socket.is_some());
    assert!(resolve(&[], MINIMAL).unwrap().listen.is_some());
}

#[test]
fn a_sockets_path_is_short_in_a_directory_and_free() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let long = directory.path().join("x".repeat(100));
    let cases = [
        (long.as_path(), "bytes, a Unix socket's path may have 107"),
        (Path::new("/nonexistent/s"), "socket: /nonexistent is not a directory"),
        (file.as_path(), "exists and is not a socket"),
    ];
    for (path, message) in cases {
        let text = problem(&["--socket", path.to_str().unwrap()], MINIMAL);
        assert!(text.contains(message), "{text}");
    }
    let text = problem(&[], &format!("socket = ''\n{MINIMAL}"));
    assert!(text.starts_with("socket: the path is empty"), "{text}");
    let stale = directory.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(resolve(&["--socket", stale.to_str().unwrap()], MINIMAL).is_ok());
}

#[test]
fn who_may_connect_to_the_socket_is_a_mode_and_a_group() {
    let own = nix::unistd::getegid().as_raw().to_string();
    let flags = ["--socket", "/tmp/outrigger-nobody-s", "--socket-mode", "0660"];
    let socket = |more: &[&str]| {
        let socket = resolve(&[&flags, more].concat(), MINIMAL).unwrap().socket.unwrap();
        (socket.mode, socket.group)
    };
    assert_eq!(socket(&[]), (0o660, None));
    assert_eq!(socket(&["--socket-group", &own]), (0o660, Some(own.parse().unwrap())));
    let file = format!("socket = '/tmp/outrigger-nobody-s'\nsocket_mode = '666'\n{MINIMAL}");
    let open = resolve(&[], &file).unwrap();
    assert_eq!(open.socket.map(|socket| socket.mode), Some(0o666));
    assert!(open.warnings[0].starts_with("socket_mode: every user of this machine"));
}

#[test]
fn whom_a_rule_names_that_nobody_can_be_is_a_warning() {
    let rules = "[[access]]\nwho = ['uid:1000', 'dns:orders.example', 'spiffe://td/a', 'anyone']\nmay = ['read']\n\
                 [[access]]\nwho = ['uid:1000']\nmay = ['write']\n";
    let named = |flags: &[&str]| {
        let warnings = resolve(flags, &format!("{MINIMAL}{rules}")).unwrap().warnings;
        let of_rules = warnings.iter().filter_map(|text| text.strip_prefix("access: `"));
        let names = of_rules.filter_map(|text| Some(text.split_once('`')?.0.to_owned()));
        names.collect::<Vec<_>>()
    };
    assert_eq!(named(&[]), ["dns:orders.example", "spiffe://td/a", "uid:1000"]);
    let socket = ["--socket", "/tmp/outrigger-nobody-s"];
    assert_eq!(named(&socket), ["dns:orders.example", "spiffe://td/a"]);
    let reached = ["--listen", "0.0.0.0:7400", "--insecure"];
    assert_eq!(named(&reached), ["anyone", "dns:orders.example", "spiffe://td/a", "uid:1000"]);
}

#[test]
fn rules_that_keep_the_other_nodes_out_are_a_warning() {
    let (_file, secret) = secret(SECRET);
    let told = |rules: &str, flags: &[&str]| {
        let warnings = resolve(flags, &format!("{MINIMAL}{rules}")).unwrap().warnings;
        let of_peers = warnings.into_iter().filter(|text| text.contains("`peer`"));
        of_peers.collect::<Vec<_>>()
    };
    let peers = ["--peers", "http://127.0.0.1:1", "--peer-secret-file", &secret];
    let rule = |who: &str, may: &str| format!("[[access]]\nwho = ['{who}']\nmay = ['{may}']\n");
    assert_eq!(told(&rule("anyone", "read"), &[]), Vec::<String>::new(), "there are no peers");
    assert_eq!(told("", &peers), Vec::<String>::new(), "there are no rules");
    assert_eq!(told(&rule("anyone", "peer"), &peers), Vec::<String>::new());
    let left_out = told(&rule("anyone", "read"), &peers);
    assert!(left_out.len() == 1 && left_out[0].contains("no rule gives"), "{left_out:?}");
    let by_token = told(&rule("token:other-node", "peer"), &peers);
    assert!(by_token.len() == 1 && by_token[0].contains("send the peers' secret"), "{by_token:?}");
}

#[test]
fn a_mode_or_a_group_that_cannot_be_meant_is_refused() {
    let problem = |more: &[&str]| {
        problem(&[&["--socket", "/tmp/outrigger-nobody-s"], more].concat(), MINIMAL)
    };
    for bad in ["", "66", "0o660", "1777", "0888", "rw-rw----", "00660", "+660"] {
        let text = problem(&[&format!("--socket-mode={bad}")]);
        assert!(text.starts_with(&format!("socket_mode: `{bad}` is not the mode")), "{text}");
    }
    for (mode, message) in [
        ("0000", "with `0000` nobody may connect"),
        ("0444", "with `0444` nobody may connect"),
        ("0640", "`0640` gives somebody rights, but not that to write"),
        ("0755", "`0755` gives somebody rights, but not that to write"),
    ] {
        let text = problem(&["--socket-mode", mode]);
        assert!(text.contains(message) && text.contains("0660"), "{text}");
    }
    for nobody in ["no-such-group", "4294967295", "-1", ""] {
        let group = format!("--socket-group={nobody}");
        let text = problem(&["--socket-mode=0660", &group]);
        assert!(text.starts_with(&format!("socket_group: there is no group `{nobody}`")), "{text}");
    }
    let own = nix::unistd::getegid().as_raw().to_string();
    let text = problem(&["--socket-group", &own]);
    assert!(text.contains("--socket-mode 0660"), "{text}");
}

#[test]
fn who_may_connect_needs_a_socket() {
    for (setting, value) in [("socket_mode", "0660"), ("socket_group", "0")] {
        let text = problem(&[&format!("--{}", setting.replace('_', "-")), value], MINIMAL);
        assert!(text.starts_with(&format!("{setting}: there is no socket")), "{text}");
        assert!(text.contains("--socket"), "{text}");
    }
}

#[test]
fn a_drain_delay_is_a_duration_or_off() {
    let delay = |flags: &[&str]| resolve(flags, MINIMAL).unwrap().drain_delay;
    assert_eq!(delay(&[]), Duration::ZERO);
    assert_eq!(delay(&["--drain-delay", "off"]), Duration::ZERO);
    assert_eq!(delay(&["--drain-delay", "5s"]), Duration::from_secs(5));
    for bad in ["", "0s", "5", "-1s", "5sec", "on"] {
        let text = problem(&[&format!("--drain-delay={bad}")], MINIMAL);
        assert!(text.starts_with(&format!("drain_delay: `{bad}` is not a duration")), "{text}");
        assert!(text.contains("5s"), "{text}");
    }
}

#[test]
fn names_of_stores_and_topics_are_checked() {
    for bad in ["", ".", "..", "a/b", "a b", &"x".repeat(250)] {
        let text = problem(&[], &with_stores(&format!("[[store]]\nname = '{bad}'")));
        assert!(text.starts_with(&format!("store: `{bad}` is not a name for a store")), "{text}");
        let text = problem(&[], &with_stores(&format!("[[store]]\nname = 's'\ntopic = '{bad}'")));
        assert!(text.starts_with(&format!("topic: `{bad}` of store `s`")), "{text}");
    }
}

#[test]
fn stores_and_topics_are_unique() {
    let twice = |first: &str, second: &str| {
        problem(&[], &with_stores(&format!("[[store]]\n{first}\n[[store]]\n{second}")))
    };
    assert!(twice("name = 'a'", "name = 'a'").starts_with("store: `a` is given twice"));
    assert!(
        twice("name = 'a'", "name = 'A'").starts_with("store: `A` and `a` differ only in case")
    );
    let text = twice("name = 'a'", "name = 'b'\ntopic = 'a'");
    assert!(text.starts_with("topic: `a` is the topic of both `a` and `b`"), "{text}");
}

#[test]
fn a_node_has_a_bounded_number_of_stores() {
    let stores = |count: usize| {
        (0..count).map(|number| format!("[[store]]\nname = 's{number}'\n")).collect::<String>()
    };
    assert!(resolve(&[], &with_stores(&stores(64))).is_ok());
    assert!(problem(&[], &with_stores(&stores(65))).starts_with("store: 65 stores, at most 64"));
}

#[test]
fn partitions_belong_to_a_topic_that_is_created() {
    let partitions =
        |lines: &str| problem(&[], &with_stores(&format!("[[store]]\nname = 's'\n{lines}")));
    assert!(
        partitions("partitions = 3")
            .starts_with("partitions: store `s` has partitions but not create")
    );
    assert!(
        partitions("create = true\npartitions = 0")
            .starts_with("partitions: store `s` has 0: give 1 to 256")
    );
    assert!(
        partitions("create = true\npartitions = 257").starts_with("partitions: store `s` has 257")
    );
}

#[test]
fn replication_belongs_to_a_topic_that_is_created() {
    let with = |lines: &str| with_stores(&format!("[[store]]\nname = 's'\n{lines}"));
    let alone = problem(&[], &with("replication = 3"));
    assert!(alone.starts_with("replication: store `s` has replication but not create"), "{alone}");
    for bad in [0, 32_768] {
        let text = problem(&[], &with(&format!("create = true\nreplication = {bad}")));
        assert!(
            text.starts_with(&format!("replication: store `s` has {bad}: give 1 to")),
            "{text}"
        );
    }
    let created = resolve(&[], &with("create = true\nreplication = 5")).unwrap();
    let replication = created.stores[0].create.unwrap().replication;
    assert_eq!(replication, Some(5));
}

#[test]
fn flags_of_a_single_store_are_not_mixed_with_tables() {
    let text = problem(&["--store", "s"], MINIMAL);
    assert!(text.contains("`s`") && text.contains("OUTRIGGER_STORE"), "{text}");
    for (flag, value) in [("--topic", Some("t")), ("--create", None), ("--partitions", Some("1"))] {
        let flags: Vec<&str> = [flag].into_iter().chain(value).collect();
        let text = problem(&flags, MINIMAL);
        assert!(text.starts_with(&format!("{flag}: it belongs to --store")), "{text}");
    }
}

#[test]
fn a_log_filter_that_does_not_parse_is_refused() {
    let text = problem(&["--log", "outrigger=loud"], MINIMAL);
    assert!(text.starts_with("log: `outrigger=loud`"), "{text}");
}

#[test]
fn settings_for_librdkafka_are_passed_through() {
    let file = format!(
        "{MINIMAL}\n[kafka]\nsecurity.protocol = 'SASL_SSL'\n'sasl.mechanism' = 'PLAIN'\n\
         sasl.username = 'u'\nsasl.password = 'from the file'\nenable.ssl.certificate.verification = false\nsasl.kerberos.min.time.before.relogin = 1000\n"
    );
    let config =
        resolve(&["--kafka", "sasl.password=a=b, c", "--kafka", "client.id=me"], &file).unwrap();
    let properties: Vec<(&str, &str)> =
        config.kafka.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [
        ("client.id", "me"),
        ("enable.ssl.certificate.verification", "false"),
        ("sasl.kerberos.min.time.before.relogin", "1000"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.password", "a=b, c"),
        ("sasl.username", "u"),
        ("security.protocol", "SASL_SSL"),
    ];
    assert_eq!(properties, expected);
}

#[test]
fn the_variable_holds_settings_for_librdkafka_one_a_line_and_a_flag_is_one_however_many_lines_it_has()
 {
    let lines = "client.id=me\nclient.dns.lookup=use_all_dns_ips\n";
    let pem = "ssl.ca.pem=-----BEGIN\nabc=\n-----END\n";
    let flags = ["--kafka-lines", lines, "--kafka", pem, "--kafka", "client.id=you"];
    let properties = resolve(&flags, MINIMAL).unwrap().kafka.properties;
    let expected = [
        ("client.dns.lookup", "use_all_dns_ips"),
        ("client.id", "you"),
        ("ssl.ca.pem", "-----BEGIN\nabc=\n-----END\n"),
    ];
    let properties: Vec<_> = properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(properties, expected);
}

#[test]
fn a_broker_that_is_not_verified_is_warned_about() {
    let warnings = |text: &str| resolve(&["--kafka", text], MINIMAL).unwrap().warnings;
    for off in [
        "enable.ssl.certificate.verification=false",
        "enable.ssl.certificate.verification=FALSE",
        "ssl.endpoint.identification.algorithm=none",
    ] {
        let told = warnings(off);
        let name = off.split('=').next().unwrap();
        assert!(told.iter().any(|warning| warning.contains(name)), "{off}: {told:?}");
    }
    assert!(warnings("enable.ssl.certificate.verification=true").is_empty());
}

#[test]
fn a_secret_is_not_in_the_debug_form() {
    let config = resolve(&["--kafka", "sasl.password=hunter2"], MINIMAL).unwrap();
    let text = format!("{config:?}");
    assert!(text.contains("sasl.password") && !text.contains("hunter2"), "{text}");
}

#[test]
fn what_the_guarantees_rest_on_is_not_an_operators_to_set() {
    for key in [
        "acks",
        "enable.idempotence",
        "isolation.level",
        "bootstrap.servers",
        "group.id",
        "partitioner",
    ] {
        let text = problem(&["--kafka", &format!("{key}=1")], MINIMAL);
        assert!(text.contains(key) && text.contains("remove it"), "{text}");
    }
}

#[test]
fn what_librdkafka_would_refuse_is_refused_before_it_connects() {
    let cases = [
        ("nonsense", "kafka: --kafka number 1 is not a setting: give KEY=VALUE"),
        ("=x", "kafka: --kafka number 1 is not a setting"),
        (
            "ssl.ca.locaton=x",
            "kafka: ssl.ca.locaton: librdkafka has no setting of this name: did you mean `ssl.ca.location`?",
        ),
        ("security.protocol=TLS", "kafka: security.protocol: Invalid value"),
        (
            "ssl.ca.location=/nonexistent.pem",
            "kafka: ssl.ca.location: the file that it names does not exist",
        ),
        ("client.id=a\0b", "kafka: client.id: it contains a NUL byte"),
        (
            "sasl.oauthbearer.method=oidc",
            "kafka: sasl.oauthbearer.method: tokens of a provider (OIDC) are not built in",
        ),
        ("security.protocol=SASL_SSL", "kafka: sasl.mechanism: it is missing"),
    ];
    for (pair, message) in cases {
        let text = problem(&["--kafka", pair], MINIMAL);
        assert!(text.starts_with(message), "{text}");
    }
    let text = problem(&[], &format!("{MINIMAL}\n[kafka]\n'client.id' = [1]\n"));
    assert!(text.contains("client.id: it must be text in quotes, a whole number"), "{text}");
}

/// Makes a file that holds `text`, for its owner only, and returns it with its path as a flag takes it.
fn secret(text: &str) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (file, path)
}

const SECRET: &str = "0123456789abcdef\n";

#[test]
fn without_settings_a_node_neither_asks_peers_nor_gives_to_any() {
    let peer = resolve(&[], MINIMAL).unwrap().peer;
    assert!(peer.addresses.is_empty() && peer.secret.is_none() && peer.rate.is_none());
}

#[test]
fn peers_their_secret_and_the_rate_are_taken_from_flags_and_file() {
    let (_file, path) = secret(SECRET);
    let addresses = |config: ServeConfig| -> Vec<String> {
        config.peer.addresses.iter().map(ToString::to_string).collect()
    };
    let all =
        ["--peers", "http://a:1, http://b:2", "--peer-secret-file", &path, "--peer-rate", "50MiB"];
    let config = resolve(&all, MINIMAL).unwrap();
    assert_eq!(config.peer.rate.map(u64::from), Some(50 << 20));
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(addresses(config), ["http://a:1", "http://b:2"]);

    let file = format!(
        "peers = ['http://c:3']\npeer_secret_file = '{path}'\npeer_rate = '1GiB'\n{MINIMAL}"
    );
    let config = resolve(&["--peer-rate", "1MiB"], &file).unwrap();
    assert_eq!(config.peer.rate.map(u64::from), Some(1 << 20));
    assert_eq!(addresses(config), ["http://c:3"]);

    let gives_only = resolve(&["--peer-secret-file", &path], MINIMAL).unwrap().peer;
    assert!(gives_only.addresses.is_empty() && gives_only.secret.is_some());
}

#[test]
fn what_is_no_peer_is_refused_by_name() {
    let (_file, path) = secret(SECRET);
    let problem = |peers: &str| problem(&["--peers", peers, "--peer-secret-file", &path], MINIMAL);
    for bad in ["", "b", "b:7400", "https://b", "http://b", "http://b:7400/x"] {
        let text = problem(bad);
        assert!(text.starts_with(&format!("peers: `{bad}` is not a peer")), "{text}");
        assert!(text.contains("http://10.0.0.2:7400"), "{text}");
    }
    let text = problem("http://b:1,http://c:1,http://b:1/");
    assert!(text.starts_with("peers: `http://b:1/` is given twice"), "{text}");
    let many: Vec<String> = (1..=17).map(|port| format!("http://b:{port}")).collect();
    let text = problem(&many.join(","));
    assert!(text.starts_with("peers: 17 peers, at most 16"), "{text}");
}

#[test]
fn a_node_beside_another_reads_the_log_and_asks_no_peer() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let peers = "peers = ['http://a:1']\npeer_secret_file = '/nonexistent/secret'\n\
                 tokens_file = '/nonexistent/tokens'\n";
    let rule = "[[access]]\nwho = ['uid:1']\nmay = ['read']\n";
    std::fs::write(file.path(), format!("{peers}{MINIMAL}\n{rule}")).unwrap();
    let flags = ["outrigger", "--config", file.path().to_str().unwrap(), "--peers", "http://b:2"];
    let line = Line::try_parse_from(flags).unwrap();
    let beside = line.serve.resolve_beside("/beside".into(), "/tmp/socket".into()).unwrap();
    assert!(!beside.peer.asks() && beside.peer.secret.is_none());
    assert!(beside.access.is_none(), "whoever started it may ask it everything");
    assert_eq!(beside.data, PathBuf::from("/beside"));
}

#[test]
fn peers_without_a_secret_are_refused() {
    for (setting, value) in [("peers", "http://b:1"), ("peer_rate", "50MiB")] {
        let text = problem(&[&format!("--{}", setting.replace('_', "-")), value], MINIMAL);
        assert!(text.starts_with(&format!("{setting}: peers cannot be told from")), "{text}");
        assert!(text.contains("--peer-secret-file"), "{text}");
    }
}

#[test]
fn a_secret_that_cannot_be_used_is_refused_and_never_shown() {
    let missing = problem(&["--peer-secret-file", "/nonexistent/secret"], MINIMAL);
    assert!(
        missing.starts_with("peer_secret_file: /nonexistent/secret: it cannot be read"),
        "{missing}"
    );
    for bad in ["", "too short", "with spaces in the middle"] {
        let (_file, path) = secret(bad);
        let text = problem(&["--peer-secret-file", &path], MINIMAL);
        assert!(
            text.starts_with(&format!(
                "peer_secret_file: {path}: each of its lines, 3 at most, must hold 16 to"
            )),
            "{text}"
        );
        assert!(text.contains("openssl rand"), "{text}");
        assert!(bad.is_empty() || !text.contains(bad), "{text}");
    }
    let (_file, path) = secret(SECRET);
    let config = resolve(&["--peer-secret-file", &path], MINIMAL).unwrap();
    assert!(!format!("{config:?}").contains("0123"));
}

#[test]
fn a_secret_that_everybody_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let (file, path) = secret(SECRET);
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = resolve(&["--peer-secret-file", &path], MINIMAL).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("chmod 600"), "{warnings:?}");
}

#[test]
fn a_rate_is_a_size_and_enough_for_a_peer_to_wait() {
    let (_file, path) = secret(SECRET);
    let problem = |rate: &str| {
        problem(&["--peer-secret-file", &path, &format!("--peer-rate={rate}")], MINIMAL)
    };
    for bad in ["50", "fast", "50MB", "-1MiB", ""] {
        let text = problem(bad);
        assert!(text.starts_with(&format!("peer_rate: `{bad}` is not a size")), "{text}");
    }
    let little = problem("0MiB");
    assert!(little.contains("at least 1 MiB a second"), "{little}");
}

#[test]
fn copies_are_compared_at_intervals_with_somebody() {
    let (_file, path) = secret(SECRET);
    let peers = ["--peer-secret-file", &path, "--peers", "http://b:1"];
    let every = |text: &str| {
        resolve(&[&peers[..], &["--verify-every", text]].concat(), MINIMAL)
            .map(|config| config.peer.verify_every)
    };
    assert_eq!(every("off").unwrap(), None);
    assert_eq!(every("10s").unwrap(), Some(Duration::from_secs(10)));
    for bad in ["9s", "0s", "24", "daily"] {
        let text = every(bad).unwrap_err().to_string();
        assert!(
            text.contains(&format!("verify_every: `{bad}` is not a duration of 10s")),
            "{text}"
        );
    }
    let alone = problem(&["--verify-every", "24h"], MINIMAL);
    assert!(alone.starts_with("verify_every: there is nobody to compare with"), "{alone}");
}
