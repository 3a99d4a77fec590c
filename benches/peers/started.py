"""A program that is run to its end, or broken off with everything that it started."""

import os
import signal
import subprocess


def call(arguments, log, most):
    """Its exit status; what it says goes to the end of a file, and after so many seconds it has taken too long."""
    with open(log, "ab") as out:
        started = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            return started.wait(most)
        except BaseException:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
            raise
