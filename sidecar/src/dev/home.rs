//! Where a dev cluster lives, and that it is one: `wipe` removes directories there, so nothing else may be in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file that says that it is one.
const MARK: &str = "OUTRIGGER-DEV";
const MARK_TEXT: &str = "A cluster of `outrigger dev`: its log, and a directory for each node.\n";

#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error("neither XDG_DATA_HOME nor HOME says where to keep data: give a directory with --data")]
    Nowhere,
    #[error(
        "{} has files in it and is no dev cluster, which would remove some of them: choose another directory with --data",
        .0.display()
    )]
    Foreign(PathBuf),
    #[error("{} is not a directory: choose another with --data", .0.display())]
    NotADirectory(PathBuf),
    #[error("cannot use {} as the data directory: choose another with --data", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Returns `$XDG_DATA_HOME/outrigger/dev`, or what stands for it: found again from wherever it is started.
pub(super) fn default(
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<PathBuf, HomeError> {
    let directory =
        |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let below = directory("XDG_DATA_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/share")));
    below.map(|below| below.join("outrigger/dev")).ok_or(HomeError::Nowhere)
}

/// Makes the directory, or recognises it.
pub(super) fn prepare(path: &Path) -> Result<(), HomeError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            HomeError::NotADirectory(path.to_owned())
        }
        _ => HomeError::Io { path: path.to_owned(), source },
    };
    fs::create_dir_all(path).map_err(failed)?;
    if path.join(MARK).is_file() {
        return Ok(());
    }
    if fs::read_dir(path).map_err(failed)?.next().is_some() {
        return Err(HomeError::Foreign(path.to_owned()));
    }
    fs::write(path.join(MARK), MARK_TEXT).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_other_things_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("node-1")).unwrap();
        assert!(matches!(prepare(dir.path()), Err(HomeError::Foreign(path)) if path == dir.path()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_or_missing_directory_becomes_a_home_and_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er");
        prepare(&path).unwrap();
        fs::create_dir(path.join("node-1")).unwrap();
        prepare(&path).unwrap();
    }

    #[test]
    fn a_file_is_no_home() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(prepare(&path), Err(HomeError::NotADirectory(_))));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn the_default_follows_the_environment_and_never_the_current_directory() {
        let with = |pairs: &'static [(&str, &str)]| {
            default(move |name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into())
            })
        };
        let both = with(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]);
        assert_eq!(both.unwrap(), Path::new("/x/outrigger/dev"));
        let relative = with(&[("XDG_DATA_HOME", "x"), ("HOME", "/h")]);
        assert_eq!(relative.unwrap(), Path::new("/h/.local/share/outrigger/dev"));
        assert!(matches!(with(&[]), Err(HomeError::Nowhere)));
    }
}
