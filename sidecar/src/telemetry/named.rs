//! Which node speaks, in every line of its log: several may write to one terminal, or into one file.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::escape::escape;

/// A format of lines, with the node's name in front.
pub(super) struct Named<F> {
    /// What a line begins with; then `cut` bytes of the format's own are left out.
    begin: String,
    cut: usize,
    lines: F,
}

impl<F> Named<F> {
    pub(super) fn text(node: Option<String>, lines: F) -> Named<F> {
        let begin = node.map(|node| format!("{}  ", escape(node.as_bytes())));
        Named { begin: begin.unwrap_or_default(), cut: 0, lines }
    }

    /// Makes a format in which the field `node` is the first of each object.
    pub(super) fn json(node: Option<String>, lines: F) -> Named<F> {
        let begin = node.map(|node| format!("{{\"node\":{},", serde_json::Value::from(node)));
        let cut = usize::from(begin.is_some()) * "{".len();
        Named { begin: begin.unwrap_or_default(), cut, lines }
    }
}

impl<S, N, F> FormatEvent<S, N> for Named<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str(&self.begin)?;
        if self.cut == 0 {
            return self.lines.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.lines.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&line[self.cut..])
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn said(lines: &Lines) -> String {
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_begins_with_the_node() {
        let lines = Lines::default();
        let to = lines.clone();
        let all = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone());
        let all = all.map_event_format(|lines| Named::text(Some("one".to_owned()), lines)).finish();
        tracing::subscriber::with_default(all, || tracing::info!(store = "notes", "READY"));
        let line = said(&lines);
        assert!(line.starts_with("one  2") && line.ends_with("READY store=\"notes\"\n"), "{line}");
    }

    #[test]
    fn an_object_has_the_node_as_a_field() {
        let lines = Lines::default();
        let to = lines.clone();
        let all =
            tracing_subscriber::fmt().with_writer(move || to.clone()).json().flatten_event(true);
        let all =
            all.map_event_format(|lines| Named::json(Some("o\"ne".to_owned()), lines)).finish();
        tracing::subscriber::with_default(all, || tracing::info!(store = "notes", "READY"));
        let object: serde_json::Value = serde_json::from_str(&said(&lines)).unwrap();
        let fields = ["node", "store", "message"].map(|field| object[field].as_str().unwrap());
        assert_eq!(fields, ["o\"ne", "notes", "READY"]);
    }
}
