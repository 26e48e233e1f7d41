//! What the kernel says of a process.

use std::collections::HashMap;
use std::ffi::OsString;

use anyhow::Context;

/// CPU seconds that a process has used since its start, in user and kernel mode.
///
/// # Errors
/// When there is no such process.
pub fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("no such process")?;
    // The name in parentheses may hold blanks; fields are counted from behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).context("odd stat");
    Ok((ticks(11)? + ticks(12)?) as f64 / 100.0)
}

/// CPU time that the threads of a process have used, in user and kernel mode: in nanoseconds, by thread. What `/proc/PID/stat` says of all
/// of them is in hundredths of a second, which is too coarse to see a percent.
#[derive(Debug)]
pub struct CpuTime(HashMap<OsString, u64>);

impl CpuTime {
    /// As it is now.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let mut threads = HashMap::new();
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context("no such process")? {
            let thread = thread?;
            // One that ends meanwhile has no file any more.
            let Ok(told) = std::fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let ran_ns = told.split_whitespace().next().and_then(|text| text.parse().ok());
            threads.insert(thread.file_name(), ran_ns.context("odd schedstat")?);
        }
        Ok(Self(threads))
    }

    /// Seconds since then.
    pub fn since_s(&self, before: &Self) -> f64 {
        let of = |(thread, ran_ns): (&OsString, &u64)| {
            ran_ns.saturating_sub(before.0.get(thread).copied().unwrap_or_default())
        };
        self.0.iter().map(of).sum::<u64>() as f64 / 1e9
    }
}

/// Lets [`Memory::peak_mib`] of a process begin anew. Where the kernel does not let us, it tells of all the time since its start.
pub fn forget_peak(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Memory of a process.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now, in MiB.
    pub now_mib: u64,
    /// The most that was resident, in MiB.
    pub peak_mib: u64,
}

impl Memory {
    /// Of this process.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
        };
        Ok(Self { now_mib: mib("VmRSS:").unwrap_or(0), peak_mib: mib("VmHWM:").unwrap_or(0) })
    }
}
