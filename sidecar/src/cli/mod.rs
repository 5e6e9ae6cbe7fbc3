//! The command line: every command, its help, and what it ends with.
//!
//! A command is an `Args` and an async `run` that returns what the process exits with. Client
//! commands know a node only through `outrigger-client`, as every application does.

mod alerts;
mod bearer;
mod connect;
mod cursor;
mod demo;
mod dev;
mod doctor;
mod failure;
mod fill;
mod form;
mod import;
mod kv;
mod operate;
mod output;
mod plan;
mod probe;
mod quarantine;
mod reseed;
mod reset;
mod scan;
mod send;
mod serve;
mod shell;
mod status;
mod target;
mod top;
mod verify;
mod wait;
mod watch;

use std::ffi::OsString;
use std::sync::LazyLock;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

use crate::config::ServeArgs;
use crate::exit::Exit;

pub use self::failure::Failure;
pub use self::verify::VerifyError;
pub use self::wait::WaitError;

/// Keeps a node's state in a compacted Kafka topic, and brings it back.
#[derive(Debug, Parser)]
#[command(name = "outrigger", version = version(), after_help = Exit::table())]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // It is boxed: its settings are many times larger than those of the others.
    Serve(Box<ServeArgs>),
    Plan(Box<plan::PlanArgs>),
    Doctor(Box<doctor::DoctorArgs>),
    DropQuarantine(quarantine::DropArgs),
    Reset(reset::ResetArgs),
    Reseed(Box<reseed::ReseedArgs>),
    Put(kv::PutArgs),
    Get(kv::GetArgs),
    Delete(kv::DeleteArgs),
    Scan(scan::ScanArgs),
    Watch(watch::WatchArgs),
    Cursor(cursor::CursorArgs),
    Import(import::ImportArgs),
    Fill(fill::FillArgs),
    Status(status::StatusArgs),
    Wait(wait::WaitArgs),
    Probe(probe::ProbeArgs),
    Verify(Box<verify::VerifyArgs>),
    Throttle(operate::ThrottleArgs),
    Cancel(operate::CancelArgs),
    Continue(operate::ContinueArgs),
    Release(operate::ReleaseArgs),
    Top(top::TopArgs),
    Alerts(alerts::AlertsArgs),
    Dev(dev::DevArgs),
    Demo(demo::DemoArgs),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
    Version(shell::VersionArgs),
}

impl Cli {
    /// Help and version were printed and are a success; what clap refuses was explained.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Exit> {
        Cli::try_parse_from(arguments).map_err(|mut error| {
            name_variable(&mut error, |name| std::env::var(name).ok());
            // Where even this cannot be written, the exit code still tells.
            let _printed = error.print();
            exit_of(error.kind())
        })
    }

    pub async fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Serve(args) => serve::run(*args).await,
            Command::Plan(args) => plan::run(*args).await,
            Command::Doctor(args) => doctor::run(*args).await,
            Command::DropQuarantine(args) => quarantine::run(&args),
            Command::Reset(args) => reset::run(&args),
            Command::Reseed(args) => reseed::run(*args).await,
            Command::Put(args) => kv::put(args).await,
            Command::Get(args) => kv::get(args).await,
            Command::Delete(args) => kv::delete(args).await,
            Command::Scan(args) => scan::run(args).await,
            Command::Watch(args) => watch::run(args).await,
            Command::Cursor(args) => cursor::run(args).await,
            Command::Import(args) => import::run(args).await,
            Command::Fill(args) => fill::run(args).await,
            Command::Status(args) => status::run(args).await,
            Command::Wait(args) => wait::run(args).await,
            Command::Probe(args) => probe::run(args).await,
            Command::Verify(args) => verify::run(*args).await,
            Command::Throttle(args) => operate::throttle(args).await,
            Command::Cancel(args) => operate::cancel(args).await,
            Command::Continue(args) => operate::go_on(args).await,
            Command::Release(args) => operate::release(args).await,
            Command::Top(args) => top::run(args).await,
            Command::Alerts(args) => alerts::run(&args),
            Command::Dev(args) => dev::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Completions(args) => shell::completions(&args),
            Command::Man(args) => shell::man(&args),
            Command::Version(shell::VersionArgs {}) => shell::show_version(),
        }
    }
}

/// Names the variable of the environment that a refused value may be from: somebody set it, perhaps long ago.
fn name_variable(error: &mut clap::Error, variable: impl Fn(&str) -> Option<String>) {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (Some(argument), Some(value)) =
        (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue))
    else {
        return;
    };
    let flag = argument.split(' ').next().unwrap_or_default().trim_start_matches('-');
    let cli = Cli::command();
    let flags = cli.get_subcommands().flat_map(clap::Command::get_arguments);
    let of_flag = flags.filter(|arg| arg.get_long() == Some(flag)).filter_map(|arg| arg.get_env());
    let names = of_flag.map(|name| name.to_string_lossy().into_owned());
    let said = names.into_iter().find(|name| variable(name).is_some_and(|said| said == *value));
    if let Some(name) = said {
        let tip = format!("the value is that of the variable {name}");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

fn exit_of(refusal: ErrorKind) -> Exit {
    match refusal {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Success,
        _ => Exit::Usage,
    }
}

/// Returns the version, with that of librdkafka as it says it at run time. RocksDB's C interface does not say its own.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let (_number, librdkafka) = rdkafka::util::get_rdkafka_version();
        format!("{} (librdkafka {librdkafka})", env!("CARGO_PKG_VERSION"))
    });
    &VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, Exit> {
        Cli::try_parse_from(line.split(' ')).map_err(|error| exit_of(error.kind()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_and_version_are_a_success() {
        assert_eq!(read("outrigger --help").unwrap_err(), Exit::Success);
        assert_eq!(read("outrigger help").unwrap_err(), Exit::Success);
        assert_eq!(read("outrigger help scan").unwrap_err(), Exit::Success);
        assert_eq!(read("outrigger --version").unwrap_err(), Exit::Success);
        assert_eq!(read("outrigger scan --help").unwrap_err(), Exit::Success);
    }

    #[test]
    fn help_explains_the_exit_codes() {
        assert!(Cli::command().render_help().to_string().contains("78  wrong configuration"));
    }

    #[test]
    fn the_version_names_the_libraries() {
        assert!(
            version().contains(env!("CARGO_PKG_VERSION")) && version().contains("librdkafka 2."),
            "{}",
            version()
        );
    }

    #[test]
    fn a_wrong_command_line_is_a_usage_error() {
        let lines = [
            "outrigger",
            "outrigger fly",
            "outrigger put key",
            "outrigger get",
            "outrigger get k --level exact",
            "outrigger get k --timeout 5",
            "outrigger get k --at-least 7",
            "outrigger get k --at-least 0:1,x",
            "outrigger wait --for good",
            "outrigger wait --timeout 0s",
            "outrigger completions",
            "outrigger completions cmd",
            "outrigger scan --prefix a --from b",
            "outrigger scan --limit 0",
            "outrigger scan --limit many",
            "outrigger import",
            "outrigger import - --raw --json",
            "outrigger import - --rate 0",
            "outrigger import - --deletes 3",
            "outrigger fill",
            "outrigger fill 0",
            "outrigger fill -",
            "outrigger fill 5 --raw",
            "outrigger fill 5 --rate 0",
            "outrigger scan --raw --json",
            "outrigger watch a b",
            "outrigger watch --from 7",
            "outrigger watch --exec",
            "outrigger cursor",
            "outrigger cursor get",
            "outrigger cursor commit name",
            "outrigger cursor commit name 7",
            "outrigger status --follow --digest",
            "outrigger verify",
            "outrigger throttle",
            "outrigger throttle 0MiB",
            "outrigger throttle 10",
            "outrigger dev --nodes 0",
            "outrigger dev --port 80",
            "outrigger demo --keys 0",
            "outrigger reseed --data d --bootstrap b:1 --store s",
            "outrigger reseed --data d --bootstrap b:1 --store s --topic t --partitions 3",
            "outrigger reseed --data d --bootstrap b:1 --store s --topic t --from 3",
        ];
        for line in lines {
            assert_eq!(read(line).expect_err(line), Exit::Usage, "{line}");
        }
    }

    #[test]
    fn a_value_of_the_environment_is_told_as_one() {
        let told = |said: &'static str| {
            let line = ["outrigger", "serve", "--partitions", "many"];
            let mut error = Cli::try_parse_from(line).expect_err("no number");
            name_variable(&mut error, |name| (name == "OUTRIGGER_PARTITIONS").then(|| said.into()));
            error.to_string()
        };
        assert!(told("many").contains("of the variable OUTRIGGER_PARTITIONS"), "{}", told("many"));
        assert!(!told("7").contains("OUTRIGGER_PARTITIONS"), "a flag said it: {}", told("7"));
    }

    #[test]
    fn what_was_meant_is_guessed() {
        for (line, meant) in [
            ("outrigger stauts", "'status'"),
            ("outrigger status --folow", "'--follow'"),
            ("outrigger serve --memry 1GiB", "'--memory'"),
            ("outrigger get k --level latst", "'latest'"),
        ] {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line).to_string();
            assert!(error.contains(meant), "{error}");
        }
    }

    #[test]
    fn every_client_command_takes_its_documented_flags() {
        let lines = [
            "outrigger put k v --server unix:///s --store s --timeout 5s",
            "outrigger put k -",
            "outrigger get k --level latest",
            "outrigger get k --at-least 0:12",
            "outrigger scan --at-least 0:12,1:7",
            "outrigger wait --server http://one:1 --server unix:///two --store s --for catching-up --timeout 5m",
            "outrigger completions bash",
            "outrigger man",
            "outrigger man get",
            "outrigger version",
            "outrigger delete k",
            "outrigger scan --prefix a --limit 5 --keys-only --reverse --level stale",
            "outrigger scan --from a --to b",
            "outrigger watch",
            "outrigger watch orders/ --from now --json --keys-only",
            "outrigger watch --points --fail-when-lost",
            "outrigger watch --from cursor:mailer",
            "outrigger cursor list --json --store s",
            "outrigger cursor get mailer --json",
            "outrigger cursor delete mailer --timeout 5s",
            "outrigger watch orders/ --exec cat --keys-only",
            "outrigger import -",
            "outrigger import rows --json --rate 3",
            "outrigger fill 5 --value-bytes 0 --overwrites 1 --deletes 2 --rate 3 --seed 4",
            "outrigger status --follow --json",
            "outrigger status --digest",
            "outrigger top --server http://one:1 --server unix:///two --store s",
            "outrigger alerts",
            "outrigger verify --server http://one:1 --server unix:///two --store s --timeout 5s",
            "outrigger reseed --data d --bootstrap b:1 --store s --topic t --from g3 --create --partitions 3 --yes",
            "outrigger throttle 10MiB --server unix:///s",
            "outrigger throttle off",
            "outrigger cancel --store s",
            "outrigger continue --store s",
            "outrigger release --server unix:///s",
        ];
        for line in lines {
            assert!(read(line).is_ok(), "{line}");
        }
    }
}
