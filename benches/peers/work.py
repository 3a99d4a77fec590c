"""The work that every server is given: direct, fanout, idle, login. Each returns a Result of one window.

The CPU counts from the first message to the arrival of the last, so that it belongs to the messages that are counted.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from clients.link import Pump
from cost import ENOUGH, TICK, Reading
from judge import Judge

DRAIN_MAX = 60  # seconds for what is under way at the end
SETTLE = 1.0
PAIRS, MEMBERS, SENDERS, IDLE, LOGINS_TOGETHER = 100, 500, 4, 1000, 8
WARM = 64  # clients before the idle ones, so that what a server reserves once does not count
WINDOW = 1  # messages of each sender under way, in a closed loop


@dataclass
class Result:
    work: str
    op: str
    ops: int  # deliveries, logins or clients
    seconds: float
    cpu: float
    neighbours_percent: float
    rss: int
    per_client: float = None  # bytes, for idle
    faults: list = field(default_factory=list)

    def cpu_us(self):
        return 1e6 * self.cpu / self.ops if self.ops else None

    def coarse(self):
        """Whether so few clock ticks were counted that the CPU figure says little."""
        return self.cpu < ENOUGH * TICK


class Says:
    """A client that sends to one address, for the same receivers each time."""

    def __init__(self, client, address, receivers):
        self.client, self.address, self.receivers = client, address, receivers
        client.speaks()

    def say(self, judge):
        number = judge.send(self.client.name, self.receivers)
        self.client.say(self.address, number)
        return number


def paced(pump, judge, senders, rate, seconds):
    """Messages at their times, the senders in turn, whether or not earlier ones have arrived."""
    begin, due = time.monotonic(), 0
    while (now := time.monotonic() - begin) < seconds:
        while due < now * rate:
            senders[due % len(senders)].say(judge)
            due += 1
        for name, number in pump.turn(min(due / rate, seconds) - (time.monotonic() - begin)):
            judge.arrive(name, number)


def closed(pump, judge, senders, window, seconds):
    """Each sender keeps `window` messages on their way; the next goes when one has reached all its receivers."""
    begin, whose = time.monotonic(), {}
    for sender in senders:
        for _ in range(window):
            whose[sender.say(judge)] = sender
    while (left := begin + seconds - time.monotonic()) > 0:
        for name, number in pump.turn(left):
            if judge.arrive(name, number) and time.monotonic() < begin + seconds:
                sender = whose.pop(number)
                whose[sender.say(judge)] = sender


def drain(pump, judge):
    """Takes what is still on its way."""
    until = time.monotonic() + DRAIN_MAX
    while not judge.complete() and (left := until - time.monotonic()) > 0:
        for name, number in pump.turn(min(left, 1.0)):
            judge.arrive(name, number)


def quiet(pump, judge, seconds):
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        for name, number in pump.turn(left):
            judge.arrive(name, number)


def window(work, server, pump, senders, load, seconds):
    judge = Judge()
    quiet(pump, judge, SETTLE)
    before = Reading.take(server.process.pid)
    load(pump, judge, senders, seconds)
    drain(pump, judge)
    cost = Reading.take(server.process.pid).since(before)
    quiet(pump, judge, SETTLE)  # a copy that comes late is a copy too many
    return Result(
        work, "delivery", judge.delivered, cost.seconds, cost.cpu, cost.neighbours_percent(), cost.rss, faults=judge.faults()
    )


def pumping(clients):
    pump = Pump()
    for client in clients:
        for link, handler in client.pumped():
            pump.add(link, client.name, handler)
    return pump


def loads(rates, most):
    """(its name, the function that makes it), for the rates that the server is offered and for none."""
    for rate in rates:
        if rate <= most:
            yield f"at {rate}/s", lambda pump, judge, senders, seconds, rate=rate: paced(pump, judge, senders, rate, seconds)
    yield "closed loop", lambda pump, judge, senders, seconds: closed(pump, judge, senders, WINDOW, seconds)


def windows(work, server, clients, senders, some_loads, seconds):
    pump = pumping(clients)
    try:
        for load, make in some_loads:
            yield window(f"{work} {load}", server, pump, senders, make, seconds)
    finally:
        pump.close()


def direct(server, names, rates, seconds):
    clients = server.clients(names[: 2 * PAIRS])
    senders = []
    for one, other in zip(clients[::2], clients[1::2]):
        senders.append(Says(one, server.address(one, other), {other.name}))
        senders.append(Says(other, server.address(other, one), {one.name}))
    yield from windows("direct", server, clients, senders, loads(rates, server.direct_most), seconds)


def fanout(server, names, rates, seconds):
    clients = server.clients(names[:MEMBERS])
    address = server.gather(clients)
    everybody = {client.name for client in clients}
    senders = [Says(client, address, everybody) for client in clients[:SENDERS]]
    yield from windows("fanout", server, clients, senders, loads(rates, server.fanout_most), seconds)


def idle(server, names, _rates, seconds):
    warm = server.clients(names[IDLE : IDLE + WARM])
    time.sleep(SETTLE)
    before = Reading.take(server.process.pid)
    clients = server.clients(names[:IDLE])
    time.sleep(SETTLE)
    begin = Reading.take(server.process.pid)
    pump, judge = pumping(warm + clients), Judge()
    quiet(pump, judge, seconds)
    cost = Reading.take(server.process.pid).since(begin)
    pump.close()
    each = (begin.rss - before.rss) / IDLE
    yield Result("idle", "client", IDLE, cost.seconds, cost.cpu, cost.neighbours_percent(), cost.rss, each, judge.faults())


def login(server, names, _rates, _seconds):
    def once(name):
        server.log_in(name).close()

    names = server.who_log_in(names)
    once(names[0])
    time.sleep(SETTLE)
    before = Reading.take(server.process.pid)
    with ThreadPoolExecutor(LOGINS_TOGETHER) as pool:
        done = sum(1 for _ in pool.map(once, names))
    cost = Reading.take(server.process.pid).since(before)
    yield Result("login", "login", done, cost.seconds, cost.cpu, cost.neighbours_percent(), cost.rss)


WORKS = {"direct": direct, "fanout": fanout, "idle": idle, "login": login}
USERS = {"direct": 2 * PAIRS, "fanout": MEMBERS, "idle": IDLE + WARM, "login": 200}
