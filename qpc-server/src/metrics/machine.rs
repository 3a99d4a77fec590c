//! What the machine allows this process and what its disk has: read from cgroups and the file
//! system. What can't be read shows as the machine's whole, or as 0.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

/// The limits of the machine or container the server runs in.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MachineLimits {
    /// Cores the process may use; fractions where a quota says so.
    pub cores: f64,
    /// Bytes of memory the process may use.
    pub memory: u64,
    /// Size of the disk with the data directory, in bytes.
    pub disk_size: u64,
    /// Bytes free there for this process.
    pub disk_free: u64,
}

impl MachineLimits {
    /// Reads them; some small files and one system call.
    #[must_use]
    pub fn read(data_dir: &Path) -> Self {
        let cgroup = cgroup();
        let whole =
            u32::try_from(thread::available_parallelism().map_or(1, std::num::NonZero::get)).unwrap_or(u32::MAX);
        let quota = cgroup.as_deref().and_then(|dir| cpu_quota(&fs::read_to_string(dir.join("cpu.max")).ok()?));
        let limit =
            cgroup.as_deref().and_then(|dir| fs::read_to_string(dir.join("memory.max")).ok()?.trim().parse().ok());
        let installed = fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total(&text)).unwrap_or(0);
        let (disk_size, disk_free) = rustix::fs::statvfs(data_dir).map_or((0, 0), |disk| {
            (disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize))
        });
        Self {
            cores: quota.map_or(f64::from(whole), |quota| quota.min(f64::from(whole))),
            memory: limit.map_or(installed, |limit: u64| if installed == 0 { limit } else { limit.min(installed) }),
            disk_size,
            disk_free,
        }
    }
}

/// Where this process's own cgroup (version 2) lies.
fn cgroup() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')))
}

/// `quota period`, both in microseconds, or `max period`.
fn cpu_quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// The line `MemTotal:  123 kB`, in bytes.
fn mem_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read_as_the_kernel_writes_them() {
        assert_eq!(cpu_quota("150000 100000\n"), Some(1.5));
        assert_eq!(cpu_quota("max 100000\n"), None);
        assert_eq!(mem_total("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2 * 1024 * 1024));
    }

    #[test]
    fn this_machine_has_cores_memory_and_a_disk() {
        let limits = MachineLimits::read(Path::new("/"));
        assert!(limits.cores > 0.0 && limits.memory > 0 && limits.disk_size >= limits.disk_free);
        assert!(limits.disk_size > 0);
    }
}
