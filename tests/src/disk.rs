//! A disk that hangs when it is told to: an ext4 of its own on a loop device. While it is frozen, whoever writes to it
//! waits, in the kernel, and not even a kill ends that.
//!
//! A shell holds it, and listens to this process: however this one ends, the disk is thawed and unmounted.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// Its arguments are the image and the place to mount it.
const HOLDER: &str = r#"
trap '' HUP INT TERM
mkfs.ext4 -q "$1" && mount -o loop "$1" "$2" && echo there || exit 1
while read -r order; do
  case $order in
    freeze) fsfreeze --freeze "$2" ;;
    thaw) fsfreeze --unfreeze "$2" ;;
  esac && echo "$order"
done
fsfreeze --unfreeze "$2" 2>/dev/null
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  umount "$2" 2>/dev/null && exit
  sleep 0.5
done
umount --lazy "$2"
"#;

pub struct Disk {
    holder: Child,
    /// None when nothing more is asked of it.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    dir: TempDir,
}

/// The disk is thawed when this is dropped.
pub struct Frozen<'a> {
    disk: &'a mut Disk,
}

impl Disk {
    /// Mounts a disk. An error where this user or this machine can mount none.
    pub fn new(bytes: u64) -> Result<Disk> {
        let dir = TempDir::new()?;
        let (image, place) = (dir.path().join("image"), dir.path().join("disk"));
        std::fs::File::create(&image)?.set_len(bytes)?;
        std::fs::create_dir(&place)?;
        let mut shell = Command::new("sh");
        shell.args(["-c", HOLDER, "disk"]).arg(&image).arg(&place);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = shell.spawn().context("starting a shell")?;
        let orders = holder.stdin.take().context("it has a stdin")?;
        let answers = BufReader::new(holder.stdout.take().context("it has a stdout")?);
        let mut disk = Disk { holder, orders: Some(orders), answers, dir };
        disk.answered("there").context("no disk could be mounted")?;
        Ok(disk)
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// From now on nothing is written.
    pub fn freeze(&mut self) -> Result<Frozen<'_>> {
        self.order("freeze")?;
        Ok(Frozen { disk: self })
    }

    fn order(&mut self, order: &str) -> Result<()> {
        let orders = self.orders.as_mut().context("the disk is there")?;
        writeln!(orders, "{order}")?;
        self.answered(order)
    }

    fn answered(&mut self, answer: &str) -> Result<()> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(line.trim() == answer, "{answer}: {line:?}");
        Ok(())
    }
}

impl Frozen<'_> {
    /// Lets what waited continue.
    pub fn thaw(self) {}
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // The holder thaws it in any case, at the latest when this process ends.
        drop(self.disk.order("thaw"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.orders.take());
        drop(self.holder.wait());
    }
}
