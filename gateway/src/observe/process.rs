//! What the system knows of this process, by the names that Prometheus' own libraries give it.
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>

use super::metrics::Text;

/// Ticks of a second in `/proc`: the kernel tells programs this number whatever its own clock is.
const TICKS_PER_S: f64 = 100.0;

/// What `/proc/self` tells.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Process {
    cpu_s: f64,
    threads: f64,
    started_s: f64,
    virtual_len: f64,
    resident_len: f64,
}

/// Writes them; nothing where there is no `/proc`.
pub fn write(text: &mut Text) {
    let one = |value: f64| [(vec![], value)];
    let stat = std::fs::read_to_string("/proc/self/stat").ok();
    if let Some(process) = stat.and_then(|stat| parse(&stat, rustix::param::page_size() as f64)) {
        text.counter("process_cpu_seconds", "Processor time, of user and system", one(process.cpu_s));
        text.gauge("process_resident_memory_bytes", "Memory that is in RAM", one(process.resident_len));
        text.gauge("process_virtual_memory_bytes", "Addresses that are mapped", one(process.virtual_len));
        text.gauge("process_threads", "Threads", one(process.threads));
        if let Some(booted_s) = booted_s() {
            let started_s = booted_s + process.started_s;
            text.gauge(
                "process_start_time_seconds",
                "When it started, in seconds since the Unix epoch",
                one(started_s),
            );
        }
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        text.gauge("process_open_fds", "Files that are open", one(open.count() as f64));
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        text.gauge("process_max_fds", "Files that may be open", one(limit as f64));
    }
}

/// Fields of `/proc/PID/stat` behind the name, which stands in parentheses and may hold anything: see proc_pid_stat(5).
fn parse(stat: &str, page_len: f64) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The first field here is the third of the page.
    let number = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    Some(Process {
        cpu_s: (number(14)? + number(15)?) / TICKS_PER_S,
        threads: number(20)?,
        started_s: number(22)? / TICKS_PER_S,
        virtual_len: number(23)?,
        resident_len: number(24)? * page_len,
    })
}

/// When the system booted, in seconds since the Unix epoch; `None` where the unit does not let it be seen.
fn booted_s() -> Option<f64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs_f64();
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some(now - up.tv_sec as f64 - up.tv_nsec as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_fields() {
        let stat =
            "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 1000 8192 3 18446744073709551615 1";
        let process = parse(stat, 4096.0).unwrap();
        assert_eq!(
            process,
            Process {
                cpu_s: 2.0,
                threads: 9.0,
                started_s: 10.0,
                virtual_len: 8192.0,
                resident_len: 3.0 * 4096.0
            }
        );
    }
}
