//! The file's TOML: every fault of it at once, each with its line, and no message that quotes a value.
//!
//! A value may be a secret, and messages end up in logs. So neither the parser's excerpts nor serde's messages, which
//! stop at the first fault and quote, are used: a [`Section`] is asked for each key that there can be, and what
//! nobody asked for is unknown.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// A name is still alike with one typing error for this many characters, and a short name with one.
const CHARACTERS_PER_ERROR: usize = 3;

/// One thing that is wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    pub line: usize,
    pub wrong: Wrong,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("this is not TOML: {message}")]
    Syntax { message: String },
    #[error("`{key}` is not a setting{place}: {}", remedy(*.alike, .known))]
    Unknown { key: String, place: Place, alike: Option<&'static str>, known: Vec<&'static str> },
    #[error("{key}: it must be {expected}, and is {found}")]
    Type { key: String, expected: Expected, found: &'static str },
    #[error("{key}: it is not one of {}{}", listed(.allowed), hint(*.alike))]
    Choice { key: &'static str, allowed: Vec<&'static str>, alike: Option<&'static str> },
    #[error("`{key}`{place} is missing here: add it")]
    Missing { place: Place, key: &'static str },
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Top,
    Store,
    Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Text,
    Texts,
    Number,
    Truth,
    Scalar,
    Table,
    /// Of this name.
    Tables(&'static str),
}

/// A table of the file, from which the keys are taken that there can be.
pub(super) struct Section<'a> {
    source: &'a str,
    table: &'a DeTable<'a>,
    place: Place,
    /// The offset in the file at which it begins.
    at: usize,
    known: Vec<&'static str>,
    missing: Vec<&'static str>,
    faults: Vec<FileFault>,
    /// Keys that seem to be given, and cannot be used.
    unusable: Vec<&'static str>,
    lines: Lines,
}

/// Where the values are: lines from 1, by key; librdkafka's settings by their whole names.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    pub(super) top: BTreeMap<String, usize>,
    /// Lines of the tables that could be read.
    pub(super) stores: Vec<BTreeMap<String, usize>>,
}

/// What was wrong with a section, and which of its keys are there and cannot be used.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) faults: Vec<FileFault>,
    pub(super) unusable: Vec<&'static str>,
    pub(super) lines: Lines,
}

/// Has `read` take the settings from the top of a file. Of a file that is no TOML only that is told: what else it says
/// is uncertain.
pub(super) fn parse<T: Default>(
    source: &str,
    read: impl FnOnce(&mut Section<'_>) -> T,
) -> (T, Faults) {
    let (table, errors) = DeTable::parse_recoverable(source);
    if !errors.is_empty() {
        let syntax = errors.iter().map(|error| FileFault {
            line: line(source, error.span().map_or(source.len(), |span| span.start)),
            wrong: Wrong::Syntax { message: error.message().to_owned() },
        });
        let mut faults: Vec<_> = syntax.collect();
        faults.sort_by_key(|fault| fault.line);
        return (T::default(), Faults { faults, ..Faults::default() });
    }
    let mut top = Section::new(source, table.get_ref(), Place::Top, 0);
    let settings = read(&mut top);
    (settings, top.end())
}

impl<'a> Section<'a> {
    fn new(source: &'a str, table: &'a DeTable<'a>, place: Place, at: usize) -> Section<'a> {
        let (known, missing, faults, unusable) = (vec![], vec![], vec![], vec![]);
        let lines = Lines::default();
        Section { source, table, place, at, known, missing, faults, unusable, lines }
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.value(key, Expected::Text, |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.value(key, Expected::Texts, |value| {
            let texts = value.as_array()?.iter();
            texts.map(|text| text.get_ref().as_str().map(str::to_owned)).collect()
        })
    }

    pub(super) fn number<N: TryFrom<u64>>(&mut self, key: &'static str) -> Option<N> {
        self.value(key, Expected::Number, |value| {
            let number = value.as_integer()?;
            let number = u64::from_str_radix(number.as_str(), number.radix());
            N::try_from(number.ok()?).ok()
        })
    }

    pub(super) fn truth(&mut self, key: &'static str) -> Option<bool> {
        self.value(key, Expected::Truth, DeValue::as_bool)
    }

    /// Takes one of some words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(key)?;
        let chosen = choices.iter().find(|(name, _)| *name == text);
        if chosen.is_none() {
            let allowed: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let alike = alike(&text, &allowed);
            self.report(key, Wrong::Choice { key, allowed, alike });
        }
        chosen.map(|(_, choice)| *choice)
    }

    /// Takes a table of settings that another judges, by dotted names: `security.protocol = "SSL"` without quotes
    /// around the key is a table in a table to TOML.
    pub(super) fn settings(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let table = self.value(key, Expected::Table, DeValue::as_table);
        let mut settings = BTreeMap::new();
        if let Some(table) = table {
            self.flatten("", table, &mut settings);
        }
        settings
    }

    fn flatten(&mut self, prefix: &str, table: &DeTable<'_>, into: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            match (value.get_ref(), scalar(value.get_ref())) {
                (DeValue::Table(inner), _) => self.flatten(&format!("{name}."), inner, into),
                (_, Some(text)) => {
                    self.lines.top.insert(name.clone(), line(self.source, key.span().start));
                    into.insert(name, text);
                }
                (value, None) => {
                    let line = line(self.source, key.span().start);
                    let (expected, found) = (Expected::Scalar, kind(value));
                    let wrong = Wrong::Type { key: name, expected, found };
                    self.faults.push(FileFault { line, wrong });
                }
            }
        }
    }

    /// Takes the tables `[[store]]`.
    pub(super) fn stores<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut Section<'_>) -> Option<T>,
    ) -> Vec<T> {
        let (stores, lines) = self.tables(key, Place::Store, read);
        self.lines.stores = lines;
        stores
    }

    /// Takes tables of one name, with the lines of those that could be read.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        place: Place,
        read: impl Fn(&mut Section<'_>) -> Option<T>,
    ) -> (Vec<T>, Vec<BTreeMap<String, usize>>) {
        let tables = self.value(key, Expected::Tables(key), |value| {
            let tables = value.as_array()?.iter();
            tables.map(|table| Some((table.get_ref().as_table()?, table.span().start))).collect()
        });
        let tables: Vec<_> = tables.unwrap_or_default();
        let (mut taken, mut lines_taken) = (Vec::new(), Vec::new());
        for (table, at) in tables {
            let mut section = Section::new(self.source, table, place, at);
            let each = read(&mut section);
            let Faults { mut faults, lines, .. } = section.end();
            self.faults.append(&mut faults);
            match each {
                Some(each) => {
                    taken.push(each);
                    lines_taken.push(lines.top);
                }
                None => self.unusable.push(key),
            }
        }
        (taken, lines_taken)
    }

    /// The line at which it begins.
    pub(super) fn line(&self) -> usize {
        line(self.source, self.at)
    }

    /// Takes a text that must be there.
    pub(super) fn needed_text(&mut self, key: &'static str) -> Option<String> {
        let text = self.text(key);
        if text.is_none() && !self.gives(key) {
            self.missing.push(key);
        }
        text
    }

    /// Takes a list of texts that must be there.
    pub(super) fn needed_texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let texts = self.texts(key);
        if texts.is_none() && !self.gives(key) {
            self.missing.push(key);
        }
        texts
    }

    fn gives(&self, key: &str) -> bool {
        self.table.keys().any(|given| given.get_ref() == key)
    }

    fn value<T>(
        &mut self,
        key: &'static str,
        expected: Expected,
        take: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<T> {
        self.known.push(key);
        let (given, value) = self.table.iter().find(|(given, _)| given.get_ref() == key)?;
        self.lines.top.insert(key.to_owned(), line(self.source, given.span().start));
        let taken = take(value.get_ref());
        if taken.is_none() {
            let found = kind(value.get_ref());
            self.report(key, Wrong::Type { key: key.to_owned(), expected, found });
        }
        taken
    }

    /// Tells what is wrong with the value of a key that was given.
    fn report(&mut self, key: &'static str, wrong: Wrong) {
        let given = self.table.keys().find(|given| given.get_ref() == key);
        let at = given.map_or(0, |given| given.span().start);
        self.faults.push(FileFault { line: line(self.source, at), wrong });
        self.unusable.push(key);
    }

    /// Returns the faults: what was not asked for is unknown.
    fn end(mut self) -> Faults {
        let unknown = |key: &&Spanned<DeString<'_>>| !self.known.contains(&&**key.get_ref());
        for key in self.table.keys().filter(unknown) {
            let known = self.known.iter().copied().filter(|known| !self.gives(known));
            let known: Vec<_> = known.collect();
            let alike = alike(key.get_ref(), &known);
            self.unusable.extend(alike);
            let (key, line) = (key.get_ref().to_string(), line(self.source, key.span().start));
            let wrong = Wrong::Unknown { key, place: self.place, alike, known };
            self.faults.push(FileFault { line, wrong });
        }
        for key in self.missing.into_iter().filter(|key| !self.unusable.contains(key)) {
            let (line, wrong) =
                (line(self.source, self.at), Wrong::Missing { place: self.place, key });
            self.faults.push(FileFault { line, wrong });
        }
        self.faults.sort_by_key(|fault| fault.line);
        Faults { faults: self.faults, unusable: self.unusable, lines: self.lines }
    }
}

impl FileFault {
    pub(super) fn is_syntax(&self) -> bool {
        matches!(self.wrong, Wrong::Syntax { .. })
    }

    pub(super) fn text(&self, path: &Path) -> String {
        format!("{}:{}: {}", path.display(), self.line, self.wrong)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Top => "",
            Place::Store => " of a store",
            Place::Access => " of a rule of access",
        })
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Tables(name) => return write!(f, "tables, each under its own [[{name}]]"),
            Expected::Text => "text in quotes",
            Expected::Texts => "a list of texts, [\"…\", \"…\"]",
            Expected::Number => "a whole number from 0 on, without quotes",
            Expected::Truth => "true or false, without quotes",
            Expected::Scalar => "text in quotes, a whole number or a truth value",
            Expected::Table => "a table, [kafka]",
        })
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "another number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date or a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn remedy(alike: Option<&str>, known: &[&str]) -> String {
    match alike {
        Some(alike) => format!("did you mean `{alike}`?"),
        None => format!("what else there is: {}", listed(known)),
    }
}

pub(super) fn hint(alike: Option<&str>) -> String {
    alike.map(|alike| format!(": did you mean `{alike}`?")).unwrap_or_default()
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

pub(super) fn alike(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name = name.to_lowercase().replace('-', "_");
    let errors = |known: &&'static str| strsim::damerau_levenshtein(&name, known);
    let best = known.iter().copied().min_by_key(errors)?;
    (errors(&best) <= (best.len() / CHARACTERS_PER_ERROR).max(1)).then_some(best)
}

/// Returns the line of a place, from 1.
fn line(source: &str, at: usize) -> usize {
    source.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// Returns what librdkafka takes as text.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests;
