"""A client of XMPP: TLS from the first byte, SCRAM-SHA-1, one resource, chat and group chat.

It looks for what it waits for in the stream's text instead of parsing XML: the servers are known and speak no
surprises, and the generator's time is better spent on load.
"""

import base64
import hashlib
import hmac
import re
import secrets

from .body import body, number_in
from .link import Link

DOMAIN = "localhost"
ROOMS = "rooms.localhost"
BODY = re.compile(rb"<body>([^<]*)</body>")
ERROR = re.compile(rb"<message[^>]*type=['\"]error['\"]")
KEPT = 1024  # bytes that may hold the beginning of a message


class Refused(Exception):
    pass


def header():
    return f"<stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>".encode()


def scram(password, first_bare, challenge):
    """The client's final message of SCRAM-SHA-1 (RFC 5802) without channel binding."""
    fields = dict(field.split("=", 1) for field in challenge.split(","))
    salted = hashlib.pbkdf2_hmac("sha1", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    key = hmac.digest(salted, b"Client Key", "sha1")
    without_proof = f"c=biws,r={fields['r']}"
    signed = f"{first_bare},{challenge},{without_proof}".encode()
    signature = hmac.digest(hashlib.sha1(key).digest(), signed, "sha1")
    proof = bytes(a ^ b for a, b in zip(key, signature))
    return f"{without_proof},p={base64.b64encode(proof).decode()}"


class Stream:
    """A connection before a client is logged in on it."""

    def __init__(self, port, context):
        self.link = Link(port, context)
        self.buffer = b""
        self.ask(header(), rb"</stream:features>")

    def ask(self, data, wanted):
        """Sends, and waits for what matches; a failure or an error is none."""
        self.link.send(data)
        pattern = re.compile(rb"<(?:\w+:)?(?:failure|error)\b.*|" + wanted, re.DOTALL)
        while not (found := pattern.search(self.buffer)):
            self.buffer += self.link.receive()
        if re.match(rb"<(?:\w+:)?(?:failure|error)\b", found[0]):
            raise Refused(f"xmpp: {found[0][:300]!r}")
        self.buffer = self.buffer[found.end() :]
        return found


def register(port, context, name, password):
    """Makes an account in the stream itself (XEP-0077)."""
    stream = Stream(port, context)
    fields = f"<username>{name}</username><password>{password}</password>"
    ask = f"<iq type='set' id='new'><query xmlns='jabber:iq:register'>{fields}</query></iq>"
    stream.ask(ask.encode(), rb"<iq[^>]*type=['\"]result['\"][^>]*>")
    stream.link.close()


class Client:
    def __init__(self, port, context, name, password):
        self.name = name
        self.buffer = b""
        self.stream = stream = Stream(port, context)
        self.link = stream.link
        first = f"n={name},r={secrets.token_urlsafe(18)}"
        auth = base64.b64encode(f"n,,{first}".encode()).decode()
        sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
        ask = f"<auth xmlns='{sasl}' mechanism='SCRAM-SHA-1'>{auth}</auth>"
        challenge = stream.ask(ask.encode(), rb"<challenge[^>]*>([^<]*)</challenge>")
        final = scram(password, first, base64.b64decode(challenge[1]).decode())
        ask = f"<response xmlns='{sasl}'>{base64.b64encode(final.encode()).decode()}</response>"
        stream.ask(ask.encode(), rb"<success[^>]*>")
        stream.ask(header(), rb"</stream:features>")
        bind = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>"
        stream.ask(bind.encode(), rb"<jid>[^<]*</jid>")

    def appear(self):
        """Reads the roster and becomes available, so that messages are delivered here."""
        self.stream.ask(b"<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>", rb"id=['\"]roster['\"]")
        self.stream.ask(b"<presence/>", rb"<presence[^>]*>")

    def join(self, room):
        x = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>"
        ask = f"<presence to='{room}@{ROOMS}/{self.name}'>{x}</presence>"
        # 110 is one's own presence; the subject ends joining.
        self.stream.ask(ask.encode(), rb"code=['\"]110['\"].*?<subject ?/?>")

    def unlock(self, room):
        """Accepts the defaults of a room that this client has just made."""
        form = "<x xmlns='jabber:x:data' type='submit'/>"
        query = f"<query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query>"
        ask = f"<iq type='set' id='unlock' to='{room}@{ROOMS}'>{query}</iq>"
        self.stream.ask(ask.encode(), rb"<iq[^>]*id=['\"]unlock['\"][^>]*>")

    def speaks(self):
        """Called before the first message; the connection serves both ways."""

    def say(self, address, number):
        kind = "groupchat" if address.endswith(ROOMS) else "chat"
        self.link.send(f"<message to='{address}' type='{kind}' id='m{number}'><body>{body(number)}</body></message>".encode())

    def feed(self, data):
        self.buffer += data
        if found := ERROR.search(self.buffer):
            raise Refused(f"xmpp: {self.buffer[found.start() :][:500]!r}")
        numbers, end = [], 0
        for found in BODY.finditer(self.buffer):
            numbers.append(number_in(found[1]))
            end = found.end()
        self.buffer = self.buffer[end:][-KEPT:]
        return numbers

    def pumped(self):
        return [(self.link, self.feed)]

    def close(self):
        self.link.close()
