//! What a process has taken since it was started, as Linux counts it below /proc.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

const MIB: f64 = 1_048_576.0;

#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Resident memory at its highest.
    pub peak_mib: f64,
    pub resident_mib: f64,
    pub threads: u32,
    /// Open files, sockets and what else has a descriptor.
    pub descriptors: u32,
    /// User and system time of all threads.
    pub cpu: Duration,
}

impl Usage {
    pub fn of(process: u32) -> Result<Usage> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        Ok(Usage {
            peak_mib: mib(&status, "VmHWM:")?,
            resident_mib: mib(&status, "VmRSS:")?,
            threads: field(&status, "Threads:")?.parse()?,
            descriptors: u32::try_from(fs::read_dir(format!("/proc/{process}/fd"))?.count())?,
            cpu: cpu(&stat).context("reading a process's CPU time")?,
        })
    }
}

fn mib(status: &str, name: &str) -> Result<f64> {
    let kib: u32 = field(status, name)?.trim_end_matches("kB").trim().parse()?;
    Ok(f64::from(kib) * 1_024.0 / MIB)
}

fn field<'a>(status: &'a str, name: &str) -> Result<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.with_context(|| format!("the process has no {name}"))?.trim())
}

/// Fields 14 and 15 of all, so 11 and 12 after the program's name, which may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    // SAFETY: it is a question without pointers.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let ticks_per_second = f64::from(u32::try_from(ticks_per_second).ok()?);
    Some(Duration::from_secs_f64((f64::from(user) + f64::from(system)) / ticks_per_second))
}

#[cfg(test)]
mod tests {
    use super::{Usage, cpu};

    #[test]
    fn a_program_may_be_called_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 9";
        let of_two_hundred_ticks = cpu(stat).unwrap();
        assert_eq!(of_two_hundred_ticks, cpu(&stat.replace("150 50", "0 200")).unwrap());
        assert!(!of_two_hundred_ticks.is_zero());
    }

    #[test]
    fn this_process_has_taken_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.peak_mib >= usage.resident_mib && usage.threads >= 1, "{usage:?}");
    }
}
