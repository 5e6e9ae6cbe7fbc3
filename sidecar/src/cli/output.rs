//! Standard output of a command: bytes as they are, and a reader that leaves ends the command quietly.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

/// Standard output, locked for the whole command, so that the output cannot be torn.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    terminal: bool,
}

impl Output {
    pub(crate) fn open() -> Output {
        let terminal = io::stdout().is_terminal();
        Output { out: BufWriter::new(io::stdout().lock()), terminal }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Writes everything that a command says.
    pub(crate) fn whole(mut self, text: &str) -> io::Result<()> {
        self.bytes(text.as_bytes())?;
        self.flush()
    }

    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Ends a value that may lack a line's end, for people only: in a pipe it would be a byte too many.
    pub(crate) fn end_for_people(&mut self) -> io::Result<()> {
        if self.terminal { self.out.write_all(b"\n") } else { Ok(()) }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
