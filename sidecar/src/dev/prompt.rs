//! What a person types at the prompt: one order a line, or one line that says what is wrong with it.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::mpsc;

use super::cluster::NodeNumber;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Kill(NodeNumber),
    Wipe(NodeNumber),
    Start(NodeNumber),
    Status,
    Help,
    Quit,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OrderError {
    #[error("`{0}` is no command: try `help`")]
    Unknown(String),
    #[error("{0} which node? say `{0} 1`")]
    NoNode(String),
    #[error("there is no node `{asked}`: nodes are 1 to {nodes}")]
    UnknownNode { asked: String, nodes: usize },
    #[error("`{0}` is too much: one command a line, with at most one node")]
    TooMuch(String),
}

pub(super) const HELP: &str = concat!(
    "  kill N    ends node N as kill -9 would: nothing is flushed\n",
    "  wipe N    removes everything on node N's disk (kills it first)\n",
    "  start N   starts node N with what is on its disk\n",
    "  status    every node's phase and position\n",
    "  quit      ends all in order and keeps the data; so do ctrl-c and ctrl-d",
);

/// Bytes of the longest line. They are far above any order, and bound what a file on standard input can put into
/// memory.
const LINE_BYTES_MAX: u64 = 1_024;

impl Order {
    /// Reads an order for a cluster of this many nodes. None for an empty line.
    pub(super) fn parse(line: &str, nodes: usize) -> Result<Option<Order>, OrderError> {
        let mut words = line.split_whitespace();
        let Some(verb) = words.next() else { return Ok(None) };
        let order = match verb {
            "kill" => Order::Kill(node(verb, words.next(), nodes)?),
            "wipe" => Order::Wipe(node(verb, words.next(), nodes)?),
            "start" => Order::Start(node(verb, words.next(), nodes)?),
            "status" => Order::Status,
            "help" => Order::Help,
            "quit" | "exit" => Order::Quit,
            unknown => return Err(OrderError::Unknown(unknown.to_owned())),
        };
        match words.next() {
            None => Ok(Some(order)),
            Some(extra) => Err(OrderError::TooMuch(extra.to_owned())),
        }
    }
}

fn node(verb: &str, word: Option<&str>, nodes: usize) -> Result<NodeNumber, OrderError> {
    let word = word.ok_or_else(|| OrderError::NoNode(verb.to_owned()))?;
    let number = word.parse().ok().and_then(|number| NodeNumber::of(number, nodes));
    number.ok_or_else(|| OrderError::UnknownNode { asked: word.to_owned(), nodes })
}

/// Returns the lines of standard input, until it ends.
pub(super) fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut input = BufReader::new(tokio::io::stdin());
        loop {
            let mut line = Vec::new();
            match (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if sender.send(String::from_utf8_lossy(&line).into_owned()).await.is_err() {
                return;
            }
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: usize) -> NodeNumber {
        NodeNumber::of(number, 3).unwrap()
    }

    #[test]
    fn orders_are_read_with_any_spacing() {
        assert_eq!(Order::parse("kill 1\n", 3), Ok(Some(Order::Kill(number(1)))));
        assert_eq!(Order::parse("  wipe   3 ", 3), Ok(Some(Order::Wipe(number(3)))));
        assert_eq!(Order::parse("start 2\r\n", 3), Ok(Some(Order::Start(number(2)))));
        assert_eq!(Order::parse("quit", 3), Ok(Some(Order::Quit)));
        assert_eq!(Order::parse(" \n", 3), Ok(None));
    }

    #[test]
    fn whatever_is_wrong_is_said_in_one_line() {
        let table = [
            ("fly", "`fly` is no command"),
            ("kill", "kill which node?"),
            ("kill 0", "there is no node `0`: nodes are 1 to 3"),
            ("wipe 4", "there is no node `4`"),
            ("start one", "there is no node `one`"),
            ("kill 1 2", "`2` is too much"),
            ("status 1", "`1` is too much"),
        ];
        for (line, part) in table {
            let error = Order::parse(line, 3).expect_err(line).to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{line}: {error}");
        }
    }
}
