//! What the process uses, for whoever decides how many gateways there shall be. Linux only; elsewhere it is unknown.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use serde::Serialize;

/// CPU time since start and memory now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Usage {
    pub cpu_seconds: f64,
    /// Resident bytes.
    pub memory_bytes: u64,
}

/// Reads `/proc/self`; `None` where there is none.
pub(super) fn of_process() -> Option<Usage> {
    let ticks = cpu_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
    let pages = resident_pages(&fs::read_to_string("/proc/self/statm").ok()?)?;
    let seconds = f64::from(u32::try_from(ticks).unwrap_or(u32::MAX));
    let per_second = f64::from(u32::try_from(clock_ticks_per_second()).ok()?);
    Some(Usage {
        cpu_seconds: seconds / per_second,
        memory_bytes: pages * page_size() as u64,
    })
}

/// User and system time. The name of the program before them may hold spaces, but no later `)`.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_right_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 10 0 0 0 250 50 0 0 20 0 4 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(resident_pages("1000 20 10 1 0 5 0\n"), Some(20));
        assert_eq!(cpu_ticks("7"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn reads_this_process() {
        let usage = of_process().unwrap();
        assert!(usage.memory_bytes > 1 << 20, "{usage:?}");
    }
}
