//! The Java that runs Kafka and the jars it runs, as `./x setup kafka` left them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Result, ensure};

use crate::host::Host;

/// Small heaps and a quick start: three clusters at the same time fit a developer's machine.
const FLAGS: [&str; 3] = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

pub(super) struct Java {
    program: PathBuf,
    class_path: String,
}

impl Java {
    pub(super) fn find() -> Result<Java> {
        let lib = env::var("OUTRIGGER_KAFKA_LIB").unwrap_or_default();
        Ok(Java { program: program(), class_path: class_path(&lib)? })
    }

    pub(super) fn command(&self, host: &Host, class: &str) -> Command {
        let mut command = host.command(&self.program);
        command.args(FLAGS).arg("-cp").arg(&self.class_path).arg(class).stdin(Stdio::null());
        command
    }

    /// The version of the jars, as their names tell it.
    pub(super) fn version(&self) -> Option<String> {
        let lib = self.class_path.strip_suffix("/*")?;
        fs::read_dir(lib).ok()?.flatten().find_map(|jar| {
            let name = jar.file_name();
            let version = name.to_str()?.strip_prefix("kafka-clients-")?.strip_suffix(".jar")?;
            Some(version.to_owned())
        })
    }

    /// A shell script that runs `class` with its own arguments.
    pub(super) fn script(&self, class: &str) -> String {
        let Java { program, class_path } = self;
        let flags = FLAGS.join(" ");
        format!(
            "#!/bin/sh\nexec '{}' {flags} -cp '{class_path}' {class} \"$@\"\n",
            program.display()
        )
    }
}

pub(crate) fn program() -> PathBuf {
    let home = env::var_os("JAVA_HOME");
    home.map_or("java".into(), |home| Path::new(&home).join("bin/java"))
}

fn class_path(lib: &str) -> Result<String> {
    ensure!(
        !lib.is_empty(),
        "OUTRIGGER_KAFKA_LIB does not name the jars of Kafka: run the tests by `./x test`, or run \
         `./x setup kafka` and set it to the kafka-*/lib below ~/.cache/outrigger"
    );
    ensure!(
        Path::new(lib).is_dir(),
        "there are no jars of Kafka at OUTRIGGER_KAFKA_LIB={lib}: run `./x setup kafka`"
    );
    Ok(format!("{lib}/*"))
}

#[cfg(test)]
mod tests {
    use super::class_path;

    #[test]
    fn missing_jars_are_named_with_the_command_that_fetches_them() {
        for lib in ["", "/nowhere/kafka"] {
            let error = class_path(lib).unwrap_err().to_string();
            assert!(error.contains("./x setup kafka") && error.contains(lib), "{error}");
        }
    }
}
