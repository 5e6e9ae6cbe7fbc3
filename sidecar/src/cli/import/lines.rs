//! Rows of a file, one a line, in one of the forms of `scan`, read with bounded memory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use crate::cli::failure::Failure;
use crate::cli::form::Form;
use crate::cli::send::Source;
use crate::workload::Change;

/// Bytes of the longest line: the largest row that a node accepts, each byte escaped by six of JSON (`\u00NN`).
const LINE_BYTES_MAX: u64 = 8 * 1024 * 1024;

pub(super) struct Lines {
    name: PathBuf,
    input: BufReader<Box<dyn AsyncRead + Unpin>>,
    form: Form,
    number: u64,
    escaped: u64,
}

impl Lines {
    pub(super) async fn open(file: &OsStr, form: Form) -> Result<Lines, Failure> {
        if file == "-" {
            return Ok(Lines::over("standard input", Box::new(tokio::io::stdin()), form));
        }
        match tokio::fs::File::open(file).await {
            Ok(opened) => Ok(Lines::over(Path::new(file), Box::new(opened), form)),
            Err(error) => {
                Err(Failure::Input { what: Path::new(file).display().to_string(), error })
            }
        }
    }

    fn over(name: impl AsRef<Path>, input: Box<dyn AsyncRead + Unpin>, form: Form) -> Lines {
        let (name, input) = (name.as_ref().to_owned(), BufReader::new(input));
        Lines { name, input, form, number: 0, escaped: 0 }
    }

    /// Returns how many rows so far had a `\` that was taken for an escape.
    pub(super) fn escaped(&self) -> u64 {
        self.escaped
    }

    fn bad(&self, fault: &str) -> Failure {
        Failure::BadInput(format!(
            "line {} of {} is not a row: {fault}; nothing from this line on was written",
            self.number,
            self.name.display()
        ))
    }
}

impl Source for Lines {
    /// A file does not tell how many rows it has.
    fn writes(&self) -> Option<u64> {
        None
    }

    async fn next(&mut self) -> Result<Option<Change>, Failure> {
        let mut line = Vec::new();
        let read = (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
        read.map_err(|error| Failure::Input { what: self.name.display().to_string(), error })?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if u64::try_from(line.len()).expect("a size fits 64 bits") == LINE_BYTES_MAX {
            return Err(self.bad(&format!("it is longer than {LINE_BYTES_MAX} bytes")));
        }
        let row = self.form.read(&line, self.number == 1).map_err(|fault| self.bad(&fault))?;
        self.escaped += u64::from(row.had_escapes);
        Ok(Some(row.change))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mutation::{mutated, mutations};

    fn read(text: &[u8]) -> Result<Vec<Change>, String> {
        read_as(Form::Escaped, text)
    }

    fn read_as(form: Form, text: &[u8]) -> Result<Vec<Change>, String> {
        let mut lines =
            Lines::over("rows.tsv", Box::new(std::io::Cursor::new(text.to_vec())), form);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut changes = Vec::new();
            while let Some(change) = lines.next().await.map_err(|failure| failure.to_string())? {
                changes.push(change);
            }
            Ok(changes)
        })
    }

    fn put(key: &[u8], value: &[u8]) -> Change {
        Change { key: key.to_vec(), value: Some(value.to_vec()) }
    }

    #[test]
    fn rows_are_read_with_or_without_a_last_line_end() {
        let rows = vec![put(b"a", b"1"), put(b"", b""), put(b"b\t", b"x\ty")];
        assert_eq!(read(b"a\t1\n\t\nb\\t\tx\ty\n"), Ok(rows.clone()));
        assert_eq!(read(b"a\t1\n\t\nb\\t\tx\ty"), Ok(rows));
        assert_eq!(read(b""), Ok(vec![]));
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        for (text, fault) in
            [(&b"a\t1\nb\n"[..], "no tab"), (b"a\t1\n\n", "no tab"), (b"a\t1\nb\t\\q\n", "`\\q`")]
        {
            let message = read(text).unwrap_err();
            assert!(message.contains("line 2 of rows.tsv") && message.contains(fault), "{message}");
        }
    }

    #[test]
    fn a_line_without_an_end_does_not_fill_the_memory() {
        let endless = vec![b'x'; usize::try_from(LINE_BYTES_MAX).unwrap() + 10];
        assert!(read(&endless).unwrap_err().contains("longer than"));
    }

    /// Writes the lines of a form, for those rows that it has a place for. Returns those rows as changes, too.
    fn written(form: Form, rows: &[(Vec<u8>, Vec<u8>)]) -> (Vec<Change>, Vec<u8>) {
        let (mut changes, mut text) = (Vec::new(), Vec::new());
        for (key, value) in rows {
            if let Ok(line) = form.write(key, Some(value)) {
                changes.push(put(key, value));
                text.extend([line, b"\n".to_vec()].concat());
            }
        }
        (changes, text)
    }

    proptest! {
        #[test]
        fn what_scan_writes_load_reads_and_what_became_of_it_is_read_or_refused_by_its_line(
            rows: Vec<(Vec<u8>, Vec<u8>)>, other: Vec<u8>, mutations in mutations(),
        ) {
            for form in [Form::Escaped, Form::Raw, Form::Json] {
                let (changes, text) = written(form, &rows);
                prop_assert_eq!(read_as(form, &text), Ok(changes));
                for text in [mutated(&text, &mutations), other.clone()] {
                    let lines = text.split(|byte| *byte == b'\n').count();
                    if let Err(told) = read_as(form, &text) {
                        let number = told.strip_prefix("line ").and_then(|rest| rest.split_once(' '));
                        let number = number.and_then(|(number, _)| number.parse().ok());
                        prop_assert!(number.is_some_and(|number| (1..=lines).contains(&number)), "{told}");
                    }
                }
            }
        }
    }
}
