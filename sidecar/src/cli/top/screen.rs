//! A terminal's other screen, which leaves what was there as it was.

use std::io::{self, IsTerminal, Write};

use terminal_size::{Height, Width, terminal_size_of};

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Columns and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) lines: usize,
}

/// Of a terminal that does not say how large it is.
const SIZE_DEFAULT: Size = Size { columns: 80, lines: 24 };

/// It is left when this is dropped.
pub(super) struct Screen(());

impl Screen {
    /// None: standard output is no terminal.
    pub(super) fn open() -> io::Result<Option<Screen>> {
        if !io::stdout().is_terminal() {
            return Ok(None);
        }
        write!(io::stdout(), "{ENTER}")?;
        Ok(Some(Screen(())))
    }

    pub(super) fn draw(&mut self, frame: impl FnOnce(Size) -> Vec<String>) -> io::Result<()> {
        let size = terminal_size_of(io::stdout()).map_or(SIZE_DEFAULT, |(Width(w), Height(h))| {
            Size { columns: usize::from(w), lines: usize::from(h) }
        });
        let mut out = io::stdout().lock();
        // A line is cleared before it is written: behind the last column that would take the last letter.
        let lines: Vec<_> =
            frame(size).into_iter().map(|line| format!("{CLEAR_LINE}{line}")).collect();
        write!(out, "{HOME}{CLEAR_BELOW}{}", lines.join("\r\n"))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone, nobody sees what it shows.
        write!(io::stdout(), "{LEAVE}").unwrap_or_default();
        io::stdout().flush().unwrap_or_default();
    }
}
