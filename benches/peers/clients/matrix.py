"""A client of Matrix's client-server API over HTTP/1.1: one connection that polls `/sync`, and one to send on."""

import json
import re
from urllib.parse import quote, urlencode

from .body import body, number_in
from .link import Link

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
LONG_POLL_MS = 30000
EVENTS = {"timeline": {"limit": 100, "types": ["m.room.message"]}, "state": {"lazy_load_members": True}}
FILTER = json.dumps({"room": EVENTS, "presence": {"types": []}, "account_data": {"types": []}})


class Refused(Exception):
    pass


def content(buffer, start, head):
    """What an answer holds and where it ends, or None while some of it is missing."""
    if found := LENGTH.search(head):
        end = start + int(found[1])
        return (bytes(buffer[start:end]), end) if len(buffer) >= end else None
    if not CHUNKED.search(head):
        raise Refused(f"matrix: an answer without a length: {head!r}")
    pieces = []
    while (line := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line], 16)
        start = line + 2 + size + 2
        if len(buffer) < start:
            return None
        if size == 0:
            return b"".join(pieces), start
        pieces.append(bytes(buffer[line + 2 : start - 2]))
    return None


def answers(buffer):
    """Takes the whole answers from the front of the buffer, as JSON; one that is no success is an error."""
    taken = []
    while (end := buffer.find(b"\r\n\r\n")) >= 0:
        head = bytes(buffer[: end + 2])
        if (whole := content(buffer, end + 4, head)) is None:
            break
        if not head.startswith(b"HTTP/1.1 200"):
            raise Refused(f"matrix: {head[:40]!r} {whole[0][:300]!r}")
        taken.append(json.loads(whole[0]))
        del buffer[: whole[1]]
    return taken


class Http:
    """Requests on one connection, with the user's token where there is one."""

    def __init__(self, port, context, token=None):
        self.link = Link(port, context)
        self.token = token
        self.buffer = bytearray()

    def request(self, method, path, content=None):
        data = json.dumps(content).encode() if content is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        if self.token:
            head += f"Authorization: Bearer {self.token}\r\n"
        self.link.send(head.encode() + b"\r\n" + data)

    def ask(self, method, path, content=None):
        """A request and its answer, while the connection is not pumped."""
        self.request(method, path, content)
        while not (taken := answers(self.buffer)):
            self.buffer += self.link.receive()
        return taken[0]

    def feed(self, data):
        self.buffer += data
        return answers(self.buffer)


def log_in(port, context, user, password):
    http = Http(port, context)
    who = {"type": "m.id.user", "user": user}
    http.ask("POST", "/_matrix/client/v3/login", {"type": "m.login.password", "identifier": who, "password": password})
    return http.link


class Client:
    def __init__(self, port, context, name, token):
        self.name = name
        self.user = f"@{name}:localhost"
        self.open = lambda: Http(port, context, token)
        self.polling = self.open()
        self.sending = None
        self.since = None

    def path(self):
        asked = {"filter": FILTER, "timeout": 0}
        if self.since:
            asked |= {"since": self.since, "timeout": LONG_POLL_MS}
        return "/_matrix/client/v3/sync?" + urlencode(asked)

    def appear(self):
        """Reads what there is, so that only what comes from now on is found."""
        self.since = self.polling.ask("GET", self.path())["next_batch"]

    def speaks(self):
        self.sending = self.open()

    def say(self, room, number):
        path = f"/_matrix/client/v3/rooms/{quote(room)}/send/m.room.message/{self.since}-{number}"
        self.sending.request("PUT", path, {"msgtype": "m.text", "body": body(number)})

    def feed(self, data):
        numbers = []
        for answer in self.polling.feed(data):
            self.since = answer["next_batch"]
            for room in answer.get("rooms", {}).get("join", {}).values():
                events = room["timeline"]["events"]
                numbers += [number_in(event["content"]["body"]) for event in events if event["sender"] != self.user]
            self.polling.request("GET", self.path())
        return numbers

    def answered(self, data):
        self.sending.feed(data)
        return []

    def pumped(self):
        self.polling.request("GET", self.path())
        links = [(self.polling.link, self.feed)]
        if self.sending:
            links.append((self.sending.link, self.answered))
        return links
