"""A server that the run starts from a private directory, with a certificate of its own, and stops again by its pid."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from clients.link import Link
from work import WORKS

START_MAX = 60  # seconds
STOP_MAX = 30
PASSWORD = "correct-horse-battery-staple"
TOGETHER = 8  # clients that log in at a time while a window is prepared


class Unready(Exception):
    """A server did not start, or did not stop."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def user_name():
    return pwd.getpwuid(os.geteuid()).pw_name


def together(act, items):
    """Does it for all, a few at a time, in their order."""
    with ThreadPoolExecutor(TOGETHER) as pool:
        return list(pool.map(act, items))


class Server:
    """What is the same for all peers; each kind says how it is configured and what its clients do."""

    name = ""
    packages = []  # Debian's
    promise = ""  # what an acknowledgement promises
    setting = ""  # by which setting
    direct_most = 0  # the highest fixed rate that is offered, in messages a second
    fanout_most = 0
    logins = 200

    def __init__(self, directory, tls):
        self.directory = directory / self.name
        self.directory.mkdir()
        self.prepared = directory / f"{self.name}.prepared"
        self.tls = tls
        self.port = free_port()
        self.process = None

    @classmethod
    def missing(cls):
        """The packages that have to be installed."""
        return [package for package in cls.packages if "install ok installed" not in status(package)]

    def version(self):
        return output("dpkg-query", "-W", "-f", "${Package} ${Version}", self.packages[0])

    def configure(self):
        raise NotImplementedError

    def command(self):
        """The arguments, and what is added to the environment."""
        raise NotImplementedError

    def register(self, names):
        raise NotImplementedError

    def log_in(self, name):
        """A client after a full login on a connection of its own."""
        raise NotImplementedError

    def listen(self, client):
        """Makes the client receive what is sent to its address."""

    def address(self, sender, receiver):
        """Where `sender` sends what is for `receiver`."""
        raise NotImplementedError

    def gather(self, clients):
        """Brings the clients into one room, and returns its address."""
        raise NotImplementedError

    def prepare(self, names, _works):
        """Called once: what all the windows begin with."""
        self.configure()
        with self.running():
            self.register(names)

    def keep(self):
        """Makes what is there now what every window begins with."""
        shutil.copytree(self.directory, self.prepared)

    def measure(self, work, names, rates, seconds):
        """The windows of one work, on a server that has just been started on what was prepared."""
        shutil.rmtree(self.directory)
        shutil.copytree(self.prepared, self.directory)
        with self.running():
            yield from WORKS[work](self, names, rates, seconds)

    @contextlib.contextmanager
    def running(self):
        self.start()
        try:
            yield
        finally:
            self.stop()

    def clients(self, names):
        """Logged-in clients that receive what is sent to them."""

        return together(self.come, names)

    def come(self, name):
        client = self.log_in(name)
        self.listen(client)
        return client

    def who_log_in(self, names):
        return names[: self.logins]

    def start(self):
        arguments, environment = self.command()
        with open(self.directory / "output.log", "ab") as log:
            self.process = subprocess.Popen(
                arguments, cwd=self.directory, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until = time.monotonic() + START_MAX
        while True:
            try:
                Link(self.port, self.tls.context).close()
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    raise Unready(f"{self.name} does not start: {error}; see {self.directory}/output.log") from error
                time.sleep(0.1)

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


def status(package):
    return output("dpkg-query", "-W", "-f", "${Status}", package) if shutil.which("dpkg-query") else ""


def output(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr
