//! A bound on what a process takes of memory, as a container sets it: a cgroup of Linux, of version 1 or 2.
//!
//! Pages of files count as well, and are given back when they are needed; a process that needs more than the bound
//! besides is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The kernel may take a moment to see that a group is empty.
const EMPTY_MAX: Duration = Duration::from_secs(10);

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A group without processes at first; it is removed when it is dropped, after its processes.
#[derive(Debug)]
pub struct MemoryGroup {
    directory: PathBuf,
}

impl MemoryGroup {
    /// Makes a group. An error where this machine has no such groups, or lets us make none.
    pub fn new(bytes_max: u64) -> Result<MemoryGroup> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let (parent, setting) = parent(&own, &mounts).context("no cgroup bounds memory here")?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = parent.join(format!("outrigger-{}-{number}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("making {}", directory.display()))?;
        let group = MemoryGroup { directory };
        let setting = group.directory.join(setting);
        fs::write(&setting, bytes_max.to_string())
            .with_context(|| format!("bounding memory by {}", setting.display()))?;
        Ok(group)
    }

    /// The file that lets in: a process that writes its id there is in the group, and so is what it starts.
    pub fn entrance(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }

    fn is_empty(&self) -> bool {
        fs::read_to_string(self.entrance()).is_ok_and(|processes| processes.is_empty())
    }

    fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + EMPTY_MAX;
        while !self.is_empty() {
            ensure!(Instant::now() < deadline, "{} has processes", self.directory.display());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(fs::remove_dir(&self.directory)?)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("a cgroup remains: {error}");
        }
    }
}

/// Where a group that bounds memory can be made, and its setting. It is below the group of this process, if that is
/// visible.
fn parent(own: &str, mounts: &str) -> Option<(PathBuf, &'static str)> {
    let mounted = |kind: &str, option: &str| {
        mounts.lines().find_map(|mount| {
            let fields: Vec<&str> = mount.split_whitespace().collect();
            let [_, directory, found, options, ..] = fields[..] else { return None };
            let has_option = option.is_empty() || options.split(',').any(|each| each == option);
            (found == kind && has_option).then(|| PathBuf::from(directory))
        })
    };
    let below = |mount: PathBuf, of: &str| {
        let path = own.lines().find_map(|line| {
            let [_, controllers, path] = line.splitn(3, ':').collect::<Vec<_>>()[..] else {
                return None;
            };
            controllers.split(',').any(|each| each == of).then_some(path)
        });
        let own = mount.join(path?.trim_start_matches('/'));
        Some(if own.is_dir() { own } else { mount })
    };
    if let Some(parent) = mounted("cgroup", "memory").and_then(|mount| below(mount, "memory")) {
        return Some((parent, "memory.limit_in_bytes"));
    }
    let parent = below(mounted("cgroup2", "")?, "")?;
    bounds_memory(&parent).then_some((parent, "memory.max"))
}

fn bounds_memory(group: &Path) -> bool {
    let controllers = fs::read_to_string(group.join("cgroup.subtree_control"));
    controllers.is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_has_a_mount_of_its_own_for_memory() {
        let mounts =
            "cgroup /none/cpu cgroup rw,cpu 0 0\ncgroup /none/memory cgroup rw,memory 0 0\n";
        let found = parent("9:cpu:/\n4:memory:/mine\n", mounts);
        assert_eq!(found, Some((PathBuf::from("/none/memory"), "memory.limit_in_bytes")));
    }

    #[test]
    fn a_version_2_that_gives_no_memory_away_is_none() {
        assert_eq!(parent("0::/\n", "cgroup2 /none cgroup2 rw 0 0\n"), None);
        assert_eq!(parent("", ""), None);
    }
}
