//! The forms in which `scan` and `watch` write rows and `import` reads them, one a line. What `scan` writes in a form, `import` reads
//! in that form as the same bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::escape::{escape, unescape};
use crate::workload::Change;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `KEY<tab>VALUE`, with `\xNN`, `\t`, `\n`, `\r` and `\\` for what is not printable, and for `\`.
    Escaped,
    /// `KEY<tab>VALUE`, bytes as they are: no tab in a key, no line feed anywhere.
    Raw,
    /// An object: texts, or base64 of what is not UTF-8.
    Json,
}

/// A row that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) change: Change,
    /// Whether a `\` was taken for the beginning of an escape.
    pub(super) had_escapes: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JsonRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    /// The value inside is null where the key is deleted.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    value: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

const MARK: &[u8] = "\u{feff}".as_bytes();

impl Form {
    pub(super) fn of(raw: bool, json: bool) -> Form {
        match (raw, json) {
            (_, true) => Form::Json,
            (true, false) => Form::Raw,
            (false, false) => Form::Escaped,
        }
    }

    /// Returns a row as a line, without its end; where there is no value, the key alone. The error says what the form
    /// has no place for.
    pub(super) fn write(self, key: &[u8], value: Option<&[u8]>) -> Result<Vec<u8>, String> {
        match self {
            Form::Escaped => {
                let (key, value) = (escape(key), value.map(escape));
                Ok(joined(key.as_bytes(), value.as_deref().map(str::as_bytes)))
            }
            Form::Raw => {
                let value = value.unwrap_or_default();
                let line_feed = [key, value].iter().any(|part| part.contains(&b'\n'));
                let fault = match (key.contains(&b'\t'), line_feed) {
                    (true, _) => "a tab in its key",
                    (false, true) => "a line feed",
                    (false, false) => return Ok(joined(key, Some(value))),
                };
                Err(format!("the row `{}` has {fault}, which --raw has no place for", escape(key)))
            }
            Form::Json => Ok(serde_json::to_vec(&JsonRow::of(key, value))
                .expect("texts are always written as JSON")),
        }
    }

    /// Reads the row of a line; the error is what is wrong with it.
    pub(super) fn read(self, line: &[u8], first: bool) -> Result<Parsed, String> {
        if first && self != Form::Raw && line.starts_with(MARK) {
            let mend = "remove these three bytes (sed '1s/^\\xef\\xbb\\xbf//')";
            return Err(format!("it begins with a byte order mark: {mend}"));
        }
        match self {
            Form::Escaped if line.last() == Some(&b'\r') => {
                Err("it ends with CR and LF: remove the CR of each line \
                 (sed 's/\\r$//'), or write \\r where the value ends in one"
                    .to_owned())
            }
            Form::Escaped => {
                let (key, value) = split(line)?;
                let bytes = |what: &str, text: &[u8]| {
                    unescape(text).map_err(|error| {
                        format!(
                            "in its {what}, {error}, or import with --raw where no `\\` is an escape"
                        )
                    })
                };
                let change =
                    Change { key: bytes("key", key)?, value: Some(bytes("value", value)?) };
                Ok(Parsed { change, had_escapes: line.contains(&b'\\') })
            }
            Form::Raw => {
                let (key, value) = split(line)?;
                let change = Change { key: key.to_owned(), value: Some(value.to_owned()) };
                Ok(Parsed { change, had_escapes: false })
            }
            Form::Json => {
                let row: JsonRow = serde_json::from_slice(line)
                    .map_err(|error| format!("{error}; a row is {}", JsonRow::LOOKS))?;
                Ok(Parsed { change: row.change()?, had_escapes: false })
            }
        }
    }
}

impl JsonRow {
    const LOOKS: &'static str =
        r#"{"key":TEXT,"value":TEXT}, with key_base64 or value_base64 for what is not UTF-8"#;

    pub(super) fn of(key: &[u8], value: Option<&[u8]>) -> JsonRow {
        let mut row = JsonRow::default();
        match str::from_utf8(key) {
            Ok(text) => row.key = Some(text.to_owned()),
            Err(_no_text) => row.key_base64 = Some(BASE64.encode(key)),
        }
        match value.map(|value| str::from_utf8(value).map_err(|_no_text| value)) {
            None => {}
            Some(Ok(text)) => row.value = Some(Some(text.to_owned())),
            Some(Err(bytes)) => row.value_base64 = Some(BASE64.encode(bytes)),
        }
        row
    }

    fn change(self) -> Result<Change, String> {
        let JsonRow { key, key_base64, value, value_base64 } = self;
        let one =
            |what| format!("it needs one of {what} and {what}_base64; a row is {}", Self::LOOKS);
        let decoded = |what: &str, text: String| {
            BASE64.decode(text).map_err(|error| format!("its {what}_base64 is not base64: {error}"))
        };
        let key = match (key, key_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => decoded("key", text)?,
            (Some(_), Some(_)) | (None, None) => return Err(one("key")),
        };
        let value = match (value, value_base64) {
            (Some(text), None) => text.map(String::into_bytes),
            (None, Some(text)) => Some(decoded("value", text)?),
            (Some(_), Some(_)) | (None, None) => return Err(one("value")),
        };
        Ok(Change { key, value })
    }
}

/// Tells a value that is null, which is given, from one that is absent, which is not.
fn given<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Writes bytes as hexadecimal digits, which [`unhex`] reads.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// None: these are no hexadecimal digits of whole bytes, or there is none.
pub(super) fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let whole = !digits.is_empty()
        && digits.len().is_multiple_of(2)
        && digits.iter().all(u8::is_ascii_hexdigit);
    whole.then(|| digits.chunks(2).map(byte).collect())?
}

fn joined(key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    match value {
        Some(value) => [key, b"\t", value].concat(),
        None => key.to_owned(),
    }
}

fn split(line: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let tab = line.iter().position(|byte| *byte == b'\t');
    let tab = tab.ok_or_else(|| "it has no tab between key and value".to_owned())?;
    Ok((&line[..tab], &line[tab + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(key: &[u8], value: &[u8]) -> Change {
        Change { key: key.to_vec(), value: Some(value.to_vec()) }
    }

    fn read(form: Form, line: &[u8]) -> Result<Change, String> {
        form.read(line, true).map(|parsed| parsed.change)
    }

    proptest! {
        #[test]
        fn what_is_written_in_a_form_is_read_in_it(key: Vec<u8>, value: Vec<u8>, first: bool) {
            for form in [Form::Escaped, Form::Raw, Form::Json] {
                let Ok(line) = form.write(&key, Some(&value)) else {
                    prop_assert!(form == Form::Raw);
                    prop_assert!(key.contains(&b'\t') || [&key[..], &value].concat().contains(&b'\n'));
                    continue;
                };
                prop_assert!(!line.contains(&b'\n'));
                let parsed = form.read(&line, first);
                prop_assert_eq!(parsed.map(|parsed| parsed.change), Ok(put(&key, &value)));
            }
        }

        #[test]
        fn texts_and_marks_come_back_as_well(key in "[\u{feff}\"\\\\a\t\n\r/]{0,4}", value in "\\PC*[\r]?") {
            for form in [Form::Escaped, Form::Json] {
                let line = form.write(key.as_bytes(), Some(value.as_bytes())).unwrap();
                prop_assert_eq!(read(form, &line), Ok(put(key.as_bytes(), value.as_bytes())));
            }
        }
    }

    /// Another tool exports it so: a backslash is a part of the value.
    #[test]
    fn a_raw_line_is_taken_as_it_is() {
        let exported = br#"{"keytype":"SCHEMA"}	{"schema":"{\"type\":\"x\ny\"}","path":"C:\new"}"#;
        let tab = exported.iter().position(|byte| *byte == b'\t').unwrap();
        let row = put(&exported[..tab], &exported[tab + 1..]);
        assert_eq!(read(Form::Raw, exported), Ok(row));
        assert_eq!(read(Form::Raw, b"k\tv\tw\r"), Ok(put(b"k", b"v\tw\r")));
        let refused = read(Form::Escaped, exported).unwrap_err();
        assert!(refused.contains("`\\\"` is not known") && refused.contains("--raw"), "{refused}");
    }

    #[test]
    fn what_an_editor_adds_is_told_and_not_taken_for_data() {
        for form in [Form::Escaped, Form::Json] {
            let marked = form.read(b"\xef\xbb\xbfk\tv", true).unwrap_err();
            assert!(marked.contains("byte order mark") && marked.contains("sed"), "{marked}");
        }
        let ended = read(Form::Escaped, b"k\tv\r").unwrap_err();
        assert!(ended.contains("CR and LF") && ended.contains("sed"), "{ended}");
        assert_eq!(read(Form::Json, b"{\"key\":\"k\",\"value\":\"v\"}\r"), Ok(put(b"k", b"v")));
    }

    #[test]
    fn a_line_of_json_says_a_text_base64_or_null() {
        let line = |key: &[u8], value: &[u8]| {
            String::from_utf8(Form::Json.write(key, Some(value)).unwrap()).unwrap()
        };
        assert_eq!(line(b"k", b"a\nb"), r#"{"key":"k","value":"a\nb"}"#);
        assert_eq!(line(b"\xff", b"\x00\xff"), r#"{"key_base64":"/w==","value_base64":"AP8="}"#);
        assert_eq!(Form::Json.write(b"k", None), Ok(br#"{"key":"k"}"#.to_vec()));
        let deleted = Change { key: b"k".to_vec(), value: None };
        assert_eq!(read(Form::Json, br#"{"key":"k","value":null}"#), Ok(deleted));
        for (wrong, told) in [
            ("k\tv", "a row is {\"key\":TEXT"),
            (r#"{"key":"k"}"#, "it needs one of value and value_base64"),
            (r#"{"value":"v"}"#, "it needs one of key and key_base64"),
            (r#"{"key":"k","key_base64":"aw==","value":"v"}"#, "one of key and key_base64"),
            (r#"{"key":"k","value_base64":"?"}"#, "value_base64 is not base64"),
            (r#"{"key":"k","payload":"v"}"#, "payload"),
            (r#"{"key":"k","value":1}"#, "a row is"),
        ] {
            let refused = read(Form::Json, wrong.as_bytes()).unwrap_err();
            assert!(refused.contains(told), "{wrong}: {refused}");
        }
    }
}
