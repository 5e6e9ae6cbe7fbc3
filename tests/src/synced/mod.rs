//! What a process writes, puts on disk, renames and removes, in that order: what a power cut would leave.
//!
//! A kill takes nothing that was written, so that no test of processes alone would miss a sync. A library that is
//! loaded before the C library tells every such call; a tracer would need a right that containers do not give, and
//! change the timing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/synced/tell.c");

/// What one process tells.
pub struct Told {
    library: PathBuf,
    lines: PathBuf,
    below: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub thread: u32,
    pub path: PathBuf,
    pub deed: Deed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The file has this many bytes now. `text` is what was written, where that is short.
    Wrote {
        bytes: u64,
        text: String,
    },
    /// What it had was put on disk.
    Synced {
        bytes: u64,
    },
    /// It is told before it is done.
    Renames {
        to: PathBuf,
    },
    Removes,
}

impl Told {
    /// Builds the library in `dir`; a process that has [`environment`](Told::environment) tells of what is below
    /// `below`.
    pub fn build(dir: &Path, below: &Path) -> Result<Told> {
        let dir = dir.canonicalize()?;
        let (library, lines) = (dir.join("tell.so"), dir.join("told"));
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(SOURCE);
        let built = cc.output().context("starting cc")?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Ok(Told { library, lines, below: below.canonicalize()? })
    }

    pub fn environment(&self) -> [(&'static str, OsString); 3] {
        // The slash at its end leaves out what only begins with the same name.
        let below = self.below.join("");
        [
            ("LD_PRELOAD", self.library.clone().into()),
            ("OUTRIGGER_TOLD", self.lines.clone().into()),
            ("OUTRIGGER_TOLD_BELOW", below.into()),
        ]
    }

    /// Everything that was told until now, in its order.
    pub fn events(&self) -> Result<Vec<Event>> {
        let text = std::fs::read_to_string(&self.lines).context("it told nothing")?;
        text.lines().map(|line| event(line).with_context(|| line.to_owned())).collect()
    }
}

fn event(line: &str) -> Result<Event> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[deed, thread, path, bytes, rest] = &fields[..] else {
        anyhow::bail!("not five fields");
    };
    let bytes = || bytes.parse().context("bytes");
    let deed = match deed {
        "wrote" => Deed::Wrote { bytes: bytes()?, text: rest.to_owned() },
        "synced" => Deed::Synced { bytes: bytes()? },
        "renames" => Deed::Renames { to: rest.into() },
        "removes" => Deed::Removes,
        other => anyhow::bail!("{other} is not known"),
    };
    Ok(Event { thread: thread.parse()?, path: path.into(), deed })
}
