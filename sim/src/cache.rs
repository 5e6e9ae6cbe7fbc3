//! Where runners keep what outlives a run: copies, builds and verdicts, in the target folder and not in the checkout.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The checkout that this was built from.
pub(crate) fn workspace() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("sim is in a workspace")
}

pub(crate) fn folder(workspace: &Path, name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| workspace.join("target")).join(name)
}

/// One runner at a time works in a folder, as long as the file lives.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder)?;
    let file = File::create(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("a run works already in {}", folder.display()),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
