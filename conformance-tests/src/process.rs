//! What the kernel says of a process.

use anyhow::Context;

/// CPU seconds that a process has used, in user and kernel mode.
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
