//! Threads that the process cannot do without.

use std::io;
use std::thread::{Builder, JoinHandle};

/// A thread whose panic ends the process: a replica that has lost its core or a disk would answer from a
/// state that nothing keeps true any more. What was flushed is a consistent copy, as after a crash.
pub(super) fn spawn(
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name).spawn(|| {
        let vital = Vital;
        run();
        drop(vital);
    })
}

struct Vital;

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("unnamed");
            tracing::error!(
                thread = name,
                "a defect of outrigger: a thread panicked (see above), the process ends"
            );
            eprintln!(
                "outrigger: a defect of Outrigger, please report it: thread `{name}` panicked, see above"
            );
            std::process::abort();
        }
    }
}
