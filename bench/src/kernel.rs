//! What the kernel counts: memory and CPU of processes, memory of sockets.

use std::{
    fs,
    iter::Sum,
    ops::{Add, Sub},
    path::Path,
    time::Duration,
};

use anyhow::Context;
use rustix::param::{clock_ticks_per_second, page_size};

/// Memory of a process that is in RAM, in bytes. From `smaps_rollup`, which is exact; the counters in `status` are
/// batched for each CPU.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Everything, the program's own code included.
    pub resident: u64,
    /// Without pages of files: heap and stacks.
    pub anonymous: u64,
}

impl Memory {
    /// Of several processes together.
    pub fn of_all(pids: &[u32]) -> anyhow::Result<Self> {
        let none = Self {
            resident: 0,
            anonymous: 0,
        };
        pids.iter().try_fold(none, |sum, pid| {
            let memory = Self::of(*pid)?;
            Ok(Self {
                resident: sum.resident + memory.resident,
                anonymous: sum.anonymous + memory.anonymous,
            })
        })
    }

    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let text = read(format!("/proc/{pid}/smaps_rollup"))?;
        let bytes = |name| kib_field(&text, name).with_context(|| format!("smaps_rollup has no {name}"));
        Ok(Self {
            resident: bytes("Rss:")?,
            anonymous: bytes("Anonymous:")?,
        })
    }
}

/// Kernel memory of the whole machine that sockets take, in bytes: both ends of a loopback connection are in it.
#[derive(Clone, Copy, Debug)]
pub struct SocketMemory {
    /// Buffers of TCP.
    pub buffers: u64,
    /// All kernel objects, among them sockets and open files.
    pub slab: u64,
}

impl SocketMemory {
    pub fn now() -> anyhow::Result<Self> {
        let pages = tcp_pages(&read("/proc/net/sockstat")?).context("sockstat has no memory of TCP")?;
        Ok(Self {
            buffers: pages * page_size() as u64,
            slab: kib_field(&read("/proc/meminfo")?, "Slab:").context("meminfo has no Slab")?,
        })
    }
}

/// Time that a process had a CPU, or wanted one, since its start. Differences of two readings are of use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub user: Duration,
    pub system: Duration,
    /// Able to run, but waiting for a CPU; summed over its threads.
    pub waiting: Duration,
}

impl Cpu {
    /// Of several processes together.
    pub fn of_all(pids: &[u32]) -> anyhow::Result<Self> {
        pids.iter()
            .try_fold(Self::default(), |sum, pid| Ok(sum + Self::of(*pid)?))
    }

    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = read(format!("/proc/{pid}/stat"))?;
        let (user, system) = ticks(&stat).context("stat has no CPU times")?;
        let waiting = fs::read_dir(format!("/proc/{pid}/task"))?
            // A thread may end meanwhile; the times above keep what it used.
            .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
            .filter_map(|text| text.split_ascii_whitespace().nth(1)?.parse().ok())
            .map(Duration::from_nanos);
        Ok(Self {
            user: of_ticks(user),
            system: of_ticks(system),
            waiting: Duration::sum(waiting),
        })
    }

    /// Time on a CPU.
    pub fn used(self) -> Duration {
        self.user + self.system
    }
}

/// Time that the machine's CPUs were busy since its start, with whatever.
pub fn machine_busy() -> anyhow::Result<Duration> {
    let ticks = busy_ticks(&read("/proc/stat")?).context("stat of the machine has no CPU times")?;
    Ok(of_ticks(ticks))
}

impl Add for Cpu {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
            waiting: self.waiting + other.waiting,
        }
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            waiting: self.waiting.saturating_sub(before.waiting),
        }
    }
}

fn read(path: impl AsRef<Path>) -> anyhow::Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A line such as `Rss:   1234 kB`, in bytes.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// `TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 253`, the last in pages.
fn tcp_pages(text: &str) -> Option<u64> {
    let fields = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    fields
        .split_ascii_whitespace()
        .skip_while(|word| *word != "mem")
        .nth(1)?
        .parse()
        .ok()
}

/// `utime` and `stime` of a `stat` file (`man 5 proc_pid_stat`): the name in brackets may hold anything, so counting begins
/// behind it.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(") ")?.1.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`; the guests are in the first two already.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields = stat.strip_prefix("cpu ")?.lines().next()?;
    let ticks = fields.split_ascii_whitespace().map(str::parse::<u64>).take(8);
    let ticks: Vec<_> = ticks.collect::<Result<_, _>>().ok()?;
    Some(ticks.iter().sum::<u64>() - ticks.get(3)? - ticks.get(4)?)
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1_000 / clock_ticks_per_second().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        assert_eq!(kib_field("Pss: 1 kB\nRss:      12 kB\n", "Rss:"), Some(12 * 1024));
        assert_eq!(
            tcp_pages("sockets: used 9\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 253\n"),
            Some(253)
        );
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 110 120 13";
        assert_eq!(ticks(stat), Some((110, 120)));
        let machine = "cpu  1 2 3 100 200 4 5 6 7 8\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(busy_ticks(machine), Some(21));
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let pid = std::process::id();
        let memory = Memory::of(pid).unwrap();
        assert!(memory.anonymous > 0 && memory.resident > memory.anonymous);
        assert!(SocketMemory::now().unwrap().slab > 0);
        let before = Cpu::of(pid).unwrap();
        while (Cpu::of(pid).unwrap() - before).used().is_zero() {}
    }
}
