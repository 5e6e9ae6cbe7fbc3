//! What happened, line by line: JSON that the timeline draws and the meta test compares byte for byte.
//!
//! It is kept only when somebody asked for it. Clones write to the same trace, so that it outlives a run that panics.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// A line's number; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line(u64);

impl Line {
    pub const NONE: Line = Line(0);
}

#[derive(Clone, Debug)]
pub enum Lane {
    Client(u32),
    Node(usize),
    Disk(usize),
    Broker(u32),
    Log,
    World,
}

#[derive(Clone, Debug, Default)]
pub struct Trace {
    lines: Option<Rc<RefCell<Vec<String>>>>,
}

impl Trace {
    /// Keeps every line.
    pub fn kept() -> Trace {
        Trace { lines: Some(Rc::default()) }
    }

    pub fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    /// Adds a line; `text` and `more` are called only when it is kept.
    pub fn note(
        &self,
        at: Duration,
        cause: Line,
        lane: Lane,
        what: &str,
        text: impl FnOnce() -> String,
    ) -> Line {
        self.note_with(at, cause, lane, what, || (text(), json!({})))
    }

    pub fn note_with(
        &self,
        at: Duration,
        cause: Line,
        lane: Lane,
        what: &str,
        text: impl FnOnce() -> (String, Value),
    ) -> Line {
        let Some(lines) = &self.lines else {
            return Line::NONE;
        };
        let mut lines = lines.borrow_mut();
        let n = u64::try_from(lines.len()).expect("lengths fit 64 bits") + 1;
        let (text, more) = text();
        let mut line = Map::new();
        line.insert("n".into(), n.into());
        let micros = u64::try_from(at.as_micros()).expect("simulated centuries fit");
        line.insert("at_us".into(), micros.into());
        if cause != Line::NONE {
            line.insert("cause".into(), cause.0.into());
        }
        line.insert("lane".into(), lane.to_string().into());
        line.insert("what".into(), what.into());
        line.insert("text".into(), text.into());
        if let Value::Object(more) = more {
            line.extend(more);
        }
        lines.push(Value::Object(line).to_string());
        Line(n)
    }

    /// All lines so far, each ended by a line feed.
    pub fn text(&self) -> String {
        let Some(lines) = &self.lines else {
            return String::new();
        };
        lines.borrow().iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lane::Client(number) => write!(f, "client {number}"),
            Lane::Node(number) => write!(f, "node {number}"),
            Lane::Disk(number) => write!(f, "disk {number}"),
            Lane::Broker(number) => write!(f, "broker {number}"),
            Lane::Log => f.write_str("log"),
            Lane::World => f.write_str("world"),
        }
    }
}
