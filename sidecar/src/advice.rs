//! Commands in messages, so that they can be pasted as they stand.

use std::path::Path;

/// Returns `text` with the directory and the store in those commands that it names and that work on one copy: core
/// knows neither.
pub(crate) fn placed(text: &str, data: &Path, store: &str) -> String {
    let on_copy = ["reset", "reseed", "drop-quarantine"];
    on_copy.iter().fold(text.to_owned(), |text, command| {
        let command = format!("`outrigger {command}");
        // The order matters: otherwise what the first one placed would be placed again.
        let ends = [" ", "`"];
        ends.iter().fold(text, |text, end| {
            let with = format!("{command}{}{end}", place(data, store));
            text.replace(&format!("{command}{end}"), &with)
        })
    })
}

/// Returns ` --data DIR --store NAME`, as a shell takes it.
pub(crate) fn place(data: &Path, store: &str) -> String {
    // Whoever pastes it stands elsewhere.
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let text = absolute.to_string_lossy();
    // A path has no zero byte, which is all that cannot be quoted.
    let quoted = shlex::try_quote(&text).unwrap_or_default();
    format!(" --data {quoted} --store {store}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_on_a_copy_gets_its_place_once() {
        let text = "stop the node and run `outrigger reset`, or `outrigger reseed`, or `outrigger drop-quarantine g3`; \
                    `outrigger plan` tells more";
        let placed = placed(text, Path::new("/var/lib/out rigger"), "notes");
        let place = " --data '/var/lib/out rigger' --store notes";
        let expected = format!(
            "stop the node and run `outrigger reset{place}`, or `outrigger reseed{place}`, or \
             `outrigger drop-quarantine{place} g3`; `outrigger plan` tells more"
        );
        assert_eq!(placed, expected);
    }

    #[test]
    fn a_relative_directory_is_told_as_seen_from_everywhere() {
        let here = std::env::current_dir().unwrap().join("data");
        assert_eq!(place(Path::new("data"), "s"), format!(" --data {} --store s", here.display()));
    }
}
