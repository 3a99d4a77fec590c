"""Control groups that hold one server to a number of cores and an amount of memory, of either version.

Version 2 has one hierarchy with `cpu.max` and `memory.max`; version 1 one for each kind. A group is made below the one
that this process is in where that can be, else below the root; it is removed again, with whatever still runs in it.
"""

import contextlib
import os
import pathlib
import signal
import time

PERIOD = 100_000  # microseconds
GONE_WITHIN = 10  # seconds


class Unavailable(Exception):
    """Why there are none."""


def lines(path):
    return pathlib.Path(path).read_text().splitlines()


def mounts(text):
    """The mount point of version 2, and those of version 1 by kind."""
    second, first = None, {}
    for line in text.splitlines():
        _, point, kind, options = line.split()[:4]
        if kind == "cgroup2":
            second = second or pathlib.Path(point)
        elif kind == "cgroup":
            first |= {option: pathlib.Path(point) for option in options.split(",") if option in ("cpu", "memory")}
    return second, first


def own(text, kind):
    """The group of this process among those of a kind of version 1."""
    for line in text.splitlines():
        _, kinds, path = line.split(":", 2)
        if kind in kinds.split(","):
            return path.lstrip("/")
    return ""


def find(proc=pathlib.Path("/proc")):
    """The hierarchies that hold a server, or Unavailable."""
    second, first = mounts((proc / "self/mounts").read_text())
    if second and {"cpu", "memory"} <= set((second / "cgroup.controllers").read_text().split()):
        return Second(second)
    if {"cpu", "memory"} <= first.keys():
        text = (proc / "self/cgroup").read_text()
        mine = {kind: first[kind] / own(text, kind) for kind in ("cpu", "memory")}
        return First({kind: path if path.is_dir() else first[kind] for kind, path in mine.items()})
    raise Unavailable("no control groups with both cpu and memory are mounted")


def counted(path, key):
    """The number after a key in a file of keys and numbers; 0 where there is none."""
    if path.exists():
        for line in lines(path):
            if line.split()[:1] == [key]:
                return int(line.split()[1])
    return 0


class Group:
    """Directories that a server is to join, and what they say afterwards; removes them on leaving."""

    def __init__(self, directories, peak, kills):
        self.directories = directories
        self.peak_file, self.kills_file = peak, kills

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def peak(self):
        """The most memory of the group in bytes, what it caches of files included; None where the kernel does not say."""
        return int(self.peak_file.read_text()) if self.peak_file.exists() else None

    def kills(self):
        """Processes that the kernel has killed because memory ran out."""
        return counted(self.kills_file, "oom_kill")

    def remove(self):
        until = time.monotonic() + GONE_WITHIN
        for directory in self.directories:
            while directory.exists():
                try:
                    directory.rmdir()
                except OSError:
                    # Only a server that was started in it can be there.
                    for pid in lines(directory / "cgroup.procs"):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(int(pid), signal.SIGKILL)
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.05)


class Hierarchies:
    version = ""

    def group(self, name, cores, memory):
        """A new group with so many cores and bytes."""
        made = []
        try:
            for parent in self.parents():
                directory = parent / name
                directory.mkdir()
                made.append(directory)
            return self.limited(made, cores, memory)
        except OSError as error:
            for directory in made:
                directory.rmdir()
            raise Unavailable(f"no control group can be made: {error}") from error


class Second(Hierarchies):
    version = "cgroup v2"

    def __init__(self, root):
        self.root = root

    def parents(self):
        # Groups with limits stand below one without processes of its own, and only the root may have both.
        switched = (self.root / "cgroup.subtree_control").read_text().split()
        for kind in ("cpu", "memory"):
            if kind not in switched:
                (self.root / "cgroup.subtree_control").write_text(f"+{kind}")
        return [self.root]

    def limited(self, made, cores, memory):
        (group,) = made
        (group / "cpu.max").write_text(f"{round(cores * PERIOD)} {PERIOD}")
        (group / "memory.max").write_text(str(memory))
        return Group(made, group / "memory.peak", group / "memory.events")


class First(Hierarchies):
    version = "cgroup v1"

    def __init__(self, roots):
        self.roots = roots

    def parents(self):
        return [self.roots["cpu"], self.roots["memory"]]

    def limited(self, made, cores, memory):
        cpu, of_memory = made
        (cpu / "cpu.cfs_period_us").write_text(str(PERIOD))
        (cpu / "cpu.cfs_quota_us").write_text(str(round(cores * PERIOD)))
        (of_memory / "memory.limit_in_bytes").write_text(str(memory))
        return Group(made, of_memory / "memory.max_usage_in_bytes", of_memory / "memory.oom_control")
