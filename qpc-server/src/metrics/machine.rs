//! What the machine allows this process and what its disk has: read from cgroups and the file
//! system. What can't be read shows as the machine's whole, or as 0.

use std::{fs, path::Path, thread};

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
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let cgroups = Cgroups { own: &own, root: Path::new("/sys/fs/cgroup") };
        let whole =
            u32::try_from(thread::available_parallelism().map_or(1, std::num::NonZero::get)).unwrap_or(u32::MAX);
        let (quota, limit) = (cgroups.cores(), cgroups.memory());
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

/// The control groups of a process, of version 2 or 1.
struct Cgroups<'a> {
    /// What `/proc/self/cgroup` says.
    own: &'a str,
    /// Where they are mounted.
    root: &'a Path,
}

impl Cgroups<'_> {
    fn cores(&self) -> Option<f64> {
        let old =
            || Some(format!("{} {}", self.read("cpu", "cpu.cfs_quota_us")?, self.read("cpu", "cpu.cfs_period_us")?));
        cpu_quota(&self.read("", "cpu.max").or_else(old)?)
    }

    fn memory(&self) -> Option<u64> {
        let read = self.read("", "memory.max").or_else(|| self.read("memory", "memory.limit_in_bytes"));
        read?.parse().ok()
    }

    /// A file of the process's group: of this controller in version 1, of the only hierarchy in version 2, where it has
    /// no name. A container may be told the path that its group has outside, where it sees the group itself at the root.
    fn read(&self, controller: &str, file: &str) -> Option<String> {
        let path = self.own.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|of| of == controller).then_some(path)
        })?;
        let root = self.root.join(controller);
        let places = [root.join(path.trim_start_matches('/')), root];
        places.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok()).map(|text| text.trim().to_owned())
    }
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
        assert_eq!(cpu_quota("-1 100000"), None);
        assert_eq!(mem_total("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2 * 1024 * 1024));
    }

    #[test]
    fn limits_of_both_versions_are_found_from_inside_a_container_too() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        let write = |file: &str, text: &str| {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let limits = |own: &str| {
            let cgroups = Cgroups { own, root };
            (cgroups.cores(), cgroups.memory())
        };
        write("its/own/cpu.max", "150000 100000\n");
        write("its/own/memory.max", "max\n");
        assert_eq!(limits("0::/its/own\n"), (Some(1.5), None));
        write("cpu/cpu.cfs_quota_us", "200000\n");
        write("cpu/cpu.cfs_period_us", "100000\n");
        write("memory/memory.limit_in_bytes", "4096\n");
        let old = "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n0::/docker/1\n";
        assert_eq!(limits(old), (Some(2.0), Some(4096)));
        write("memory.max", "8192\n");
        assert_eq!(limits("0::/docker/1\n"), (None, Some(8192)));
        assert_eq!(limits(""), (None, None));
    }

    #[test]
    fn this_machine_has_cores_memory_and_a_disk() {
        let limits = MachineLimits::read(Path::new("/"));
        assert!(limits.cores > 0.0 && limits.memory > 0 && limits.disk_size >= limits.disk_free);
        assert!(limits.disk_size > 0);
    }
}
