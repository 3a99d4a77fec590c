"""Groups of both versions are found, limited and read; directories stand for the kernel's."""

import pathlib
import tempfile
import unittest
from unittest import mock

import cgroups


class Trees(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.root = pathlib.Path(held.name)

    def put(self, files):
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def first(self):
        return f"cgroup {self.root}/cpu cgroup rw,cpu 0 0\ncgroup {self.root}/memory cgroup rw,memory 0 0\n"

    def test_the_second_version_is_taken_where_it_has_both_kinds(self):
        mounts = f"{self.first()}cgroup2 {self.root}/unified cgroup2 rw 0 0\n"
        self.put({"proc/self/mounts": mounts, "unified/cgroup.controllers": "cpu memory io\n", "proc/self/cgroup": "0::/\n"})
        self.put({"unified/cgroup.subtree_control": "memory\n"})
        found = cgroups.find(self.root / "proc")
        self.assertEqual(found.version, "cgroup v2")
        group = found.group("tier", 1.5, 2**29)
        (made,) = group.directories
        self.assertEqual((made / "cpu.max").read_text(), "150000 100000")
        self.assertEqual((made / "memory.max").read_text(), str(2**29))
        self.assertEqual((self.root / "unified/cgroup.subtree_control").read_text(), "+cpu")
        self.put({"unified/tier/memory.peak": "4096\n", "unified/tier/memory.events": "low 0\noom 3\noom_kill 2\n"})
        self.assertEqual((group.peak(), group.kills()), (4096, 2))

    def test_the_first_version_is_taken_below_the_own_group(self):
        mounts = f"{self.first()}cgroup2 {self.root}/unified cgroup2 rw 0 0\n"
        self.put({"proc/self/mounts": mounts, "unified/cgroup.controllers": "hugetlb\n"})
        self.put({"proc/self/cgroup": "2:cpu,cpuacct:/\n1:memory:/mine\n", "cpu/x": "", "memory/mine/x": ""})
        found = cgroups.find(self.root / "proc")
        group = found.group("tier", 2, 2**30)
        cpu, memory = self.root / "cpu/tier", self.root / "memory/mine/tier"
        self.assertEqual((found.version, group.directories), ("cgroup v1", [cpu, memory]))
        self.assertEqual((cpu / "cpu.cfs_quota_us").read_text(), "200000")
        self.assertEqual((memory / "memory.limit_in_bytes").read_text(), str(2**30))
        self.put({"memory/mine/tier/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"})
        self.assertEqual((group.peak(), group.kills()), (None, 1))

    def test_without_groups_it_says_so(self):
        self.put({"proc/self/mounts": "tmpfs /tmp tmpfs rw 0 0\n"})
        with self.assertRaises(cgroups.Unavailable):
            cgroups.find(self.root / "proc")

    def test_what_can_not_be_limited_leaves_nothing(self):
        self.put({"cpu/x": ""})
        kinds = cgroups.First({"cpu": self.root / "cpu", "memory": self.root / "none"})
        with self.assertRaises(cgroups.Unavailable):
            kinds.group("tier", 1, 2**29)
        self.assertFalse((self.root / "cpu/tier").exists())

    def test_a_server_that_is_left_is_ended_before_its_group_is_removed(self):
        self.put({"tier/cgroup.procs": "4711\n"})
        group = cgroups.Group([self.root / "tier"], self.root / "peak", self.root / "kills")
        with mock.patch.object(cgroups.os, "kill") as kill:
            kill.side_effect = lambda *_: (self.root / "tier/cgroup.procs").unlink()
            group.remove()
        kill.assert_called_once_with(4711, cgroups.signal.SIGKILL)
        self.assertFalse((self.root / "tier").exists())
