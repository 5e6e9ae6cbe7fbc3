//! `completions`, `man`, `version`: the command line told to a shell, to a reader, to a script.

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::failure::Failure;
use super::output::Output;
use super::{Cli, version};
use crate::exit::Exit;

/// The program's name, in its completions and on its pages.
const NAME: &str = "outrigger";

/// Prints completions for a shell, such as: outrigger completions bash > /etc/bash_completion.d/outrigger
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the manual page, of all or of one command, to be read with: outrigger man get | man -l -
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The command; none: the program
    command: Option<String>,
}

/// Prints the version, and that of librdkafka
#[derive(Debug, clap::Args)]
pub(super) struct VersionArgs {}

pub(super) fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    print(&script)
}

pub(super) fn man(args: &ManArgs) -> Result<Exit, Failure> {
    let mut program = Cli::command();
    program.build();
    let command = match &args.command {
        None => program,
        Some(name) => program.find_subcommand(name).cloned().ok_or_else(|| unknown(name))?,
    };
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(Failure::Output)?;
    print(&page)
}

pub(super) fn show_version() -> Result<Exit, Failure> {
    print(format!("{NAME} {}\n", version()).as_bytes())
}

fn unknown(name: &str) -> Failure {
    Failure::Usage(format!("there is no command `{name}`: `outrigger help` lists them"))
}

fn print(bytes: &[u8]) -> Result<Exit, Failure> {
    let mut out = Output::open();
    out.bytes(bytes).and_then(|()| out.flush()).map_err(Failure::Output)?;
    Ok(Exit::Success)
}
