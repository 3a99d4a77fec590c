"""A run of qpc-bench that takes too long is ended with everything that it started."""

import os
import pathlib
import subprocess
import tempfile
import time
import unittest
from unittest import mock

from servers import ours


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


class Calls(unittest.TestCase):
    def test_nothing_outlives_a_run_that_is_broken_off(self):
        with tempfile.TemporaryDirectory() as directory, mock.patch.object(ours, "RUN_MAX", 0.5):
            directory = pathlib.Path(directory)
            bench = ours.Ours("unused", directory)
            with self.assertRaises(subprocess.TimeoutExpired):
                bench.call(["sh", "-c", f"sleep 60 & echo $! > {directory}/child; wait"])
            child = int((directory / "child").read_text())
            until = time.monotonic() + 5
            while alive(child) and time.monotonic() < until:
                os.sched_yield()
            self.assertFalse(alive(child))

    def test_the_exit_status_is_told(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(ours.Ours("unused", pathlib.Path(directory)).call(["sh", "-c", "exit 3"]), 3)
