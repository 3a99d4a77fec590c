"""quicprochat itself, through qpc-bench, which starts a server of its own for each window and judges the deliveries."""

import json
import pathlib

import started
from clients.body import LENGTH
from work import IDLE, LOGINS_TOGETHER, MEMBERS, PAIRS, SENDERS, WINDOW, Result

LOGINS = 200
RUN_MAX = 900  # seconds, registering accounts for the first time included


class Failed(Exception):
    pass


class Ours:
    name = "quicprochat"
    promise = "on disk, encrypted, fsynced before the answer and before any delivery"
    setting = "WAL, synchronous=FULL (not to be turned off)"

    def __init__(self, program, directory):
        self.program, self.directory = pathlib.Path(program), directory / self.name
        self.directory.mkdir()
        self.about = ""

    def version(self):
        return self.about

    def prepare(self, _names, _works):
        """Accounts are made by the first window that needs them, and kept."""

    def keep(self):
        """qpc-bench works on a copy by itself."""

    def windows(self, work, rates, seconds):
        """(the window's name, the arguments of qpc-bench)."""
        load = {
            "direct": ["direct", "--pairs", PAIRS, "--duration", seconds],
            "fanout": ["fanout", "--members", MEMBERS, "--senders", SENDERS, "--duration", seconds],
            "idle": ["idle", "--users", IDLE, "--seconds", seconds],
            "login": ["login", "--users", LOGINS, "--concurrency", LOGINS_TOGETHER],
        }[work]
        if work in ("idle", "login"):
            return [(work, load)]
        paced = [(f"{work} at {rate}/s", [*load, "--rate", rate]) for rate in rates]
        return [*paced, (f"{work} closed loop", [*load, "--window", WINDOW])]

    def measure(self, work, _names, rates, seconds):
        for name, load in self.windows(work, rates, seconds):
            out = self.directory / "result.json"
            out.unlink(missing_ok=True)
            accounts = ["--accounts", self.directory / work, "--text", LENGTH]
            arguments = [self.program, *load, *accounts, "--json", out]
            code = self.call([str(part) for part in arguments])
            if not out.exists():
                raise Failed(f"qpc-bench {name}: exit {code}, no result; see {self.directory}/output.log")
            found = json.loads(out.read_text())
            self.about = found["version"]["server"]
            yield result(name, found, code)

    def call(self, arguments):
        """Its exit status; a run that is broken off takes qpc-bench's server with it."""
        return started.call(arguments, self.directory / "output.log", RUN_MAX)


def result(name, found, code):
    """One window from qpc-bench's JSON; whatever it counts as a fault is one here."""
    server, seconds = found["server"], max(found["duration_s"], 1e-9)
    faults = [f"{found[key]} {key}" for key in ("lost", "duplicated", "reordered", "errors") if found[key]]
    if code != 0 and not faults:
        faults = found.get("failures") or [f"exit {code}"]
    op = {"login": "login", "idle": "client"}.get(found["scenario"], "delivery")
    # It counts deliveries within the window, and gives the cost of each.
    per_op = server["cpu_us_per_op"]
    ops = found["users"] if op == "client" else round(1e6 * server["cpu_s"] / per_op) if per_op else found["delivered"]
    each = server["rss_per_user_bytes"] if op == "client" else None
    neighbours = 100 * found["others_cpu_s"] / seconds
    return Result(name, op, ops, seconds, server["cpu_s"], neighbours, server["rss_bytes"], each, faults)
