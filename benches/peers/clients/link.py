"""One TLS connection to a server on loopback, and the loop that drives many of them.

A link blocks while its client logs in; a pump then makes it non-blocking. What the server sends goes to the handler
that the link was added with, which returns the numbers of the messages it found.
"""

import select
import socket
import ssl

PATIENCE = 60.0  # seconds for one answer while a client logs in
PIECE = 65536


class Closed(Exception):
    """The server ended a connection that a client still needed."""


def trusting(certificate):
    """A TLS context that trusts the run's certificate alone and speaks TLS 1.3 alone."""
    context = ssl.create_default_context(cafile=certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


class Link:
    def __init__(self, port, context):
        raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(raw, server_hostname="localhost")
        self.unsent = bytearray()
        self.pump = None

    def receive(self):
        """Waits for the next bytes, while logging in."""
        data = self.socket.recv(PIECE)
        if not data:
            raise Closed("the server closed a connection")
        return data

    def send(self, data):
        if self.pump is None:
            self.socket.sendall(data)
            return
        self.unsent += data
        self.flush()
        if self.unsent:
            self.pump.waiting.add(self)

    def flush(self):
        while self.unsent:
            try:
                del self.unsent[: self.socket.send(self.unsent)]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return

    def close(self):
        self.socket.close()


class Pump:
    def __init__(self):
        self.poll = select.epoll()
        self.entries = {}
        self.waiting = set()  # links with bytes that the server has not taken yet

    def add(self, link, name, handler):
        """Lets `handler` find messages in what comes on the link, as arrivals at `name`."""
        link.socket.setblocking(False)
        link.pump = self
        self.poll.register(link.socket.fileno(), select.EPOLLIN)
        self.entries[link.socket.fileno()] = (link, name, handler)

    def turn(self, timeout):
        """Arrivals as (name, number), after at most `timeout` seconds of waiting."""
        for descriptor, _ in self.poll.poll(max(0.0, timeout)):
            link, name, handler = self.entries[descriptor]
            while True:
                try:
                    data = link.socket.recv(PIECE)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    break
                if not data:
                    raise Closed(f"the server closed the connection of {name}")
                for number in handler(data):
                    yield name, number
                if not link.socket.pending():
                    break
        self.flush()

    def flush(self):
        for link in self.waiting:
            link.flush()
        self.waiting = {link for link in self.waiting if link.unsent}

    def close(self):
        for link, _, _ in self.entries.values():
            link.close()
        self.entries.clear()
        self.poll.close()
