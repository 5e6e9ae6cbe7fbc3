//! One thread of a process that stands still while the others go on: what a thread that hangs looks like from outside.

use std::fs;
use std::ptr;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};

/// It stands still until this is dropped.
pub struct Halted {
    /// Whoever traces a thread lets it go with the same thread.
    go_on: Sender<()>,
    tracer: Option<JoinHandle<()>>,
}

impl Halted {
    /// Stops the thread of this name in a child of this process.
    pub fn thread(process: u32, name: &str) -> Result<Halted> {
        let id = thread_of(process, name)?;
        let (go_on, wait) = channel();
        let (stops, stopped) = channel();
        let tracer = thread::spawn(move || {
            let stopping = stop(id);
            let stands = stopping.is_ok();
            if stops.send(stopping).is_ok() && stands {
                // It ends with its sender.
                wait.recv().ok();
                trace(libc::PTRACE_DETACH, id).ok();
            }
        });
        stopped.recv().context("the tracer says how it went")??;
        Ok(Halted { go_on, tracer: Some(tracer) })
    }
}

impl Drop for Halted {
    fn drop(&mut self) {
        self.go_on.send(()).ok();
        if let Some(tracer) = self.tracer.take() {
            tracer.join().ok();
        }
    }
}

fn thread_of(process: u32, name: &str) -> Result<libc::pid_t> {
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        let path = entry?.path();
        // One may end meanwhile.
        if fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
            let id = path.file_name().and_then(|id| id.to_str()).context("a number")?;
            return Ok(id.parse()?);
        }
    }
    anyhow::bail!("process {process} has no thread {name}")
}

fn stop(id: libc::pid_t) -> Result<()> {
    trace(libc::PTRACE_SEIZE, id)?;
    trace(libc::PTRACE_INTERRUPT, id)?;
    // SAFETY: no status is asked for, and the thread is this one's to wait for.
    let waited = unsafe { libc::waitpid(id, ptr::null_mut(), libc::__WALL) };
    ensure!(waited == id, "waitpid: {}", std::io::Error::last_os_error());
    Ok(())
}

fn trace(request: libc::c_uint, id: libc::pid_t) -> Result<()> {
    let nothing = ptr::null_mut::<libc::c_void>();
    // SAFETY: none of these requests reads or writes memory of this process.
    let result = unsafe { libc::ptrace(request, id, nothing, nothing) };
    ensure!(result == 0, "ptrace {request:#x}: {}", std::io::Error::last_os_error());
    Ok(())
}
