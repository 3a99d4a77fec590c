"""What processes have used, from /proc: the server with all its children, this generator, and everybody else."""

import os
import pathlib
import time
from dataclasses import dataclass

TICK = 1 / os.sysconf("SC_CLK_TCK")
ENOUGH = 10  # ticks below which a CPU figure says little
PROC = pathlib.Path("/proc")


def fields(stat):
    """The fields of /proc/PID/stat after the program's name, which may itself hold anything."""
    return stat.rpartition(") ")[2].split()


def family(pid, parents):
    """The process and its descendants, given each process's parent."""
    found, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


@dataclass
class Reading:
    at: float
    server: float  # seconds of CPU
    own: float
    busy: float  # of the whole machine
    rss: int  # bytes

    @classmethod
    def take(cls, pid):
        stats = {}
        for entry in PROC.iterdir():
            if entry.name.isdigit():
                try:
                    stats[int(entry.name)] = fields((entry / "stat").read_text())
                except (FileNotFoundError, ProcessLookupError):
                    pass
        members = family(pid, {child: int(stat[1]) for child, stat in stats.items()}) & stats.keys()
        # utime, stime, and those of children that have been waited for.
        server = sum(int(ticks) for member in members for ticks in stats[member][11:15]) * TICK
        rss = sum(int(stats[member][21]) for member in members) * os.sysconf("SC_PAGE_SIZE")
        times = os.times()
        busy = busy_ticks((PROC / "stat").read_text()) * TICK
        return cls(time.monotonic(), server, times.user + times.system, busy, rss)

    def since(self, before):
        return Cost(
            seconds=self.at - before.at,
            cpu=self.server - before.server,
            neighbours=max(0.0, self.busy - before.busy - (self.server - before.server) - (self.own - before.own)),
            rss=self.rss,
        )


def busy_ticks(stat):
    """User, nice, system, irq and softirq of all cores."""
    user, nice, system, _idle, _wait, irq, softirq = map(int, stat.split("\n", 1)[0].split()[1:8])
    return user + nice + system + irq + softirq


@dataclass
class Cost:
    seconds: float
    cpu: float
    neighbours: float
    rss: int

    def neighbours_percent(self):
        """Of one core; a machine of two has 200 %."""
        return 100 * self.neighbours / max(self.seconds, 1e-9)
