//! What other tools export is imported as it is, and what `scan` prints is imported again.

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use anyhow::{Result, ensure};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::Node;
use outrigger_tests::writers::rows;

use super::{Place, run, text};
use crate::e2e::interop::kcat;

/// A row as a schema registry keeps it, and others with a backslash.
const EXPORTED: [(&str, &str); 4] = [
    (r#"{"keytype":"SCHEMA","subject":"s","version":1}"#, r#"{"schema":"{\"type\":\"string\"}"}"#),
    ("path", r"C:\new\table"),
    ("json", r#"{"text":"a\nb\t\\"}"#),
    ("plain", "käse"),
];

async fn values(node: &Node) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let rows = rows(node).await?;
    Ok(rows.into_iter().map(|(key, row)| (key, row.value)).collect())
}

fn import(node: &Node, name: &str, lines: &[u8], form: &[&str]) -> Result<Output> {
    let file = node.data().with_file_name(name);
    fs::write(&file, lines)?;
    node.ask("import", &[&[file.to_str().expect("a path that is text")], form].concat())
}

#[test]
fn an_export_of_kcat_is_imported_byte_for_byte() -> Result<()> {
    run(async {
        let place = Place::new("export", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let store = node.store().await?;
        for (key, value) in EXPORTED {
            store.put(key, value).await?;
        }
        let format = ["-C", "-e", "-q", "-f", "%k\t%s\n"];
        let topic = ["-b", &place.bootstrap, "-t", place.topic.name()];
        let lines = kcat(&[&topic[..], &format].concat(), b"")?;

        let other = Place::new("import", TopicSpec::store())?;
        let node = other.ready_node("one").await?;
        let refused = import(&node, "escaped", &lines, &[])?;
        ensure!(refused.status.code() == Some(65), "{}", text(&refused));
        ensure!(text(&refused).contains("--raw"), "{}", text(&refused));
        let imported = import(&node, "raw", &lines, &["--raw"])?;
        ensure!(imported.status.success(), "{}", text(&imported));
        let found = values(&node).await?;
        let exported = EXPORTED.map(|(key, value)| (key.into(), value.into()));
        ensure!(found == BTreeMap::from(exported), "{found:?}");
        Ok(())
    })
}

#[test]
fn what_an_editor_adds_is_told_and_what_might_be_no_escape_as_well() -> Result<()> {
    run(async {
        let place = Place::new("line-ends", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        for (lines, told) in
            [(&b"a\t1\r\nb\t2\r\n"[..], "CR and LF"), (b"\xef\xbb\xbfa\t1\n", "byte order mark")]
        {
            let refused = import(&node, "edited", lines, &[])?;
            ensure!(refused.status.code() == Some(65), "{}", text(&refused));
            ensure!(text(&refused).contains(told), "{}", text(&refused));
        }
        let told = import(&node, "doubtful", b"a\t{\"x\":\"y\\nz\"}\nb\t2\n", &[])?;
        ensure!(told.status.success(), "{}", text(&told));
        ensure!(text(&told).contains("1 rows had a `\\`"), "{}", text(&told));
        Ok(())
    })
}

#[test]
fn what_scan_prints_in_a_form_is_imported_in_it_to_the_same_rows() -> Result<()> {
    run(async {
        let from = Place::new("scanned", TopicSpec::store())?;
        let node = from.ready_node("one").await?;
        let store = node.store().await?;
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        for (number, value) in bytes.chunks(16).enumerate() {
            let text = value.iter().all(|byte| *byte != b'\n');
            let key = if text { [b"key ", value].concat() } else { b"z".to_vec() };
            let key: Vec<u8> = key.into_iter().filter(|byte| *byte != b'\t').collect();
            store.put([&key[..], number.to_string().as_bytes()].concat(), value).await?;
        }
        store.put("\u{feff}first", "").await?;
        let all = values(&node).await?;
        for form in [&[][..], &["--json"], &["--raw"]] {
            let into = Place::new("imported", TopicSpec::store())?;
            let other = into.ready_node("one").await?;
            let scanned = node.ask("scan", form)?;
            if form == ["--raw"] {
                ensure!(scanned.status.code() == Some(65), "{}", text(&scanned));
                ensure!(text(&scanned).contains("a line feed"), "{}", text(&scanned));
            } else {
                ensure!(scanned.status.success(), "{}", text(&scanned));
            }
            let imported = import(&other, "scanned", &scanned.stdout, form)?;
            ensure!(imported.status.success(), "{}", text(&imported));
            let found = values(&other).await?;
            if form == ["--raw"] {
                ensure!(!found.is_empty() && all.iter().take(found.len()).eq(&found), "{found:?}");
            } else {
                ensure!(all == found, "{form:?}: {found:?}");
            }
        }
        Ok(())
    })
}
