"""A client of MQTT 3.1.1 with a persistent session; all it sends and subscribes to has quality of service 1."""

import struct

from .body import body, number_in
from .link import Link

KEEP_ALIVE = 300
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 0x10, 0x20, 0x30, 0x40, 0x82, 0x90
QOS_1 = 0x02


class Refused(Exception):
    pass


def text(value):
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def packet(kind, payload):
    length, size = bytearray(), len(payload)
    while True:
        size, low = divmod(size, 128)
        length.append(low | (0x80 if size else 0))
        if not size:
            return bytes([kind]) + bytes(length) + payload


def packets(buffer):
    """Takes the whole packets from the front of the buffer: (first byte, payload)."""
    taken = []
    while True:
        size, shift, at = 0, 0, 1
        while at < len(buffer):
            size |= (buffer[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not buffer[at - 1] & 0x80:
                break
        else:
            return taken
        if len(buffer) < at + size:
            return taken
        taken.append((buffer[0], bytes(buffer[at : at + size])))
        del buffer[: at + size]


class Client:
    def __init__(self, port, context, name, password):
        self.name = name
        self.identifiers = 0
        self.buffer = bytearray()
        self.link = Link(port, context)
        # Flags: user name and password; no clean session, so that the broker keeps what comes while we are away.
        flags = struct.pack("!BBH", 4, 0xC0, KEEP_ALIVE)
        self.link.send(packet(CONNECT, text("MQTT") + flags + text(name) + text(name) + text(password)))
        if self.answer(CONNACK)[1] != 0:
            raise Refused(f"mqtt: {name} may not connect")

    def answer(self, kind):
        while True:
            for first, payload in packets(self.buffer):
                if first & 0xF0 != kind & 0xF0:
                    raise Refused(f"mqtt: packet {first:#x} instead of {kind:#x}")
                return payload
            self.buffer += self.link.receive()

    def identifier(self):
        self.identifiers = self.identifiers % 65535 + 1
        return struct.pack("!H", self.identifiers)

    def subscribe(self, topic):
        self.link.send(packet(SUBSCRIBE, self.identifier() + text(topic) + b"\x01"))
        if self.answer(SUBACK)[2] != 1:
            raise Refused(f"mqtt: {self.name} may not subscribe")

    def speaks(self):
        """Called before the first message; the connection serves both ways."""

    def say(self, topic, number):
        self.link.send(packet(PUBLISH | QOS_1, text(topic) + self.identifier() + body(number).encode()))

    def feed(self, data):
        self.buffer += data
        numbers, acknowledgements = [], bytearray()
        for first, payload in packets(self.buffer):
            if first & 0xF0 != PUBLISH:
                continue
            end = 2 + struct.unpack_from("!H", payload)[0]
            if first & 0x06:
                acknowledgements += packet(PUBACK, payload[end : end + 2])
                end += 2
            numbers.append(number_in(payload[end:]))
        if acknowledgements:
            self.link.send(acknowledgements)
        return numbers

    def pumped(self):
        """The links that a pump has to drive, each with its handler."""
        return [(self.link, self.feed)]

    def close(self):
        self.link.close()
