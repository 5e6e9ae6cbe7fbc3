//! The configuration of `docs/operating.md`, and what becomes of it under somebody's hands: it is taken, or every fault
//! is told with its line or its setting, and no secret is.

use proptest::prelude::*;

use super::tests::{problems_of_file, resolved};
use crate::documented::page;
use crate::mutation::{mutated, mutations};

const SECRET: &str = "Zr8Kq2XwPn5LvT9c";

/// Bytes of a secret that nobody writes by chance.
const SECRET_PART_BYTES: usize = 5;

fn example() -> String {
    let page = page();
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let password = r#""sasl.password" = "..."#;
    assert!(example.contains(password));
    example.replace(password, &format!(r#""sasl.password" = "{SECRET}"#))
}

/// Whether the text begins with `config: the file:7: …`, or with the setting's name.
fn names_its_place(told: &str) -> bool {
    let (name, rest) = told.split_once(": ").unwrap_or_default();
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let line = rest.strip_prefix("the file:").and_then(|rest| rest.split_once(": "));
    match name {
        "config" => line.is_some_and(|(line, _)| line.parse::<usize>().is_ok_and(|line| line > 0)),
        name => !name.is_empty() && name.bytes().all(is_name),
    }
}

/// The parts of the secret by which it is known.
fn parts() -> impl Iterator<Item = &'static str> {
    (0..=SECRET.len() - SECRET_PART_BYTES).map(|at| &SECRET[at..at + SECRET_PART_BYTES])
}

fn tells_the_secret(told: &str) -> bool {
    parts().any(|part| told.contains(part))
}

/// Whether a part of it was repeated somewhere else, in a store's name say, where it is no secret.
fn is_elsewhere_too(text: &str) -> bool {
    parts().any(|part| text.matches(part).count() > 1)
}

const RULES: &str = "
[[access]]
who = ['uid:1000', 'spiffe://td/ns/shop/*', 'dns:orders.example', 'token:reports', 'anyone']
store = 'notes'
prefix = 'user/'
may = ['read', 'write']
";

/// Makes a file that has every setting of the example and of the paragraphs around it.
fn whole() -> String {
    format!(
        "ready_lag_max = 10\nlog = 'info'\npeers = ['http://10.0.0.1:7400']\npeer_secret_file = '/nonexistent'\n\
         peer_rate = '50MiB'\ntokens_file = '/nonexistent'\n{}{RULES}",
        example()
    )
}

proptest! {
    #[test]
    fn what_became_of_the_example_is_taken_or_told_without_its_secret(mutations in mutations()) {
        let text = mutated(whole().as_bytes(), &mutations);
        let text = String::from_utf8_lossy(&text);
        prop_assume!(!is_elsewhere_too(&text));
        let problems = problems_of_file(&text);
        for told in problems {
            prop_assert!(names_its_place(&told), "{told:?}");
            prop_assert!(!tells_the_secret(&told), "{told:?}");
        }
    }

    #[test]
    fn any_value_of_any_setting_is_taken_or_told_by_its_name(
        setting: prop::sample::Index,
        value in prop_oneof![
            "[0-9]{1,21}(ms|s|h|KiB|MiB|GiB)?".prop_map(|text| format!("'{text}'")),
            "[a-z0-9:/.,@\\[\\]-]{0,30}".prop_map(|text| format!("'{text}'")),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<String>().prop_map(|text| toml::Value::String(text).to_string()),
            Just("true".to_owned()),
            Just("[]".to_owned()),
            Just("1979-05-27".to_owned()),
        ],
    ) {
        let text = whole();
        let settings: Vec<&str> = text.lines().filter(|line| line.contains(" = ")).collect();
        let line = setting.get::<&str>(&settings);
        let (name, _) = line.split_once(" = ").unwrap();
        let problems = problems_of_file(&text.replace(line, &format!("{name} = {value}")));
        for told in problems {
            prop_assert!(names_its_place(&told), "{told:?}");
        }
    }
}

#[test]
fn the_example_itself_is_right_where_its_socket_may_be() {
    let file = example().replace("/run/outrigger.sock", "/tmp/outrigger.sock");
    let file = file.replace(r#"socket_group = "shop""#, "");
    assert!(resolved(&file));
}
