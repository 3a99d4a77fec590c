"""What the clients read is the same however the network cuts it into pieces."""

import types
import unittest

from clients import matrix, mqtt, xmpp
from clients.body import LENGTH, body, number_in


def in_pieces(feed, data, size):
    return [number for at in range(0, len(data), size) for number in feed(data[at : at + size])]


class Bodies(unittest.TestCase):
    def test_a_body_carries_its_number(self):
        self.assertEqual((len(body(7)), number_in(body(7)), number_in(body(8).encode())), (LENGTH, 7, 8))

    def test_what_is_cut_or_strange_has_none(self):
        for text in (body(7)[:-1], "x" * LENGTH, ""):
            self.assertIsNone(number_in(text))


class Mqtt(unittest.TestCase):
    def test_publications_are_found_and_acknowledged(self):
        def publish(number):
            return mqtt.packet(0x32, mqtt.text("room") + number.to_bytes(2, "big") + body(number).encode())

        data = publish(1) + mqtt.packet(0x40, b"\0\1") + publish(2)
        for size in (1, 7, len(data)):
            client, sent = mqtt.Client.__new__(mqtt.Client), bytearray()
            client.buffer, client.link = bytearray(), types.SimpleNamespace(send=sent.extend)
            self.assertEqual(in_pieces(client.feed, data, size), [1, 2])
            self.assertEqual(sent, mqtt.packet(0x40, b"\0\1") + mqtt.packet(0x40, b"\0\2"))


class Xmpp(unittest.TestCase):
    def client(self):
        client = xmpp.Client.__new__(xmpp.Client)
        client.buffer = b""
        return client

    def test_bodies_are_found(self):
        data = b"".join(
            f"<message type='chat' from='a@b/r'><body>{body(number)}</body><stanza-id id='{number}'/></message>".encode()
            for number in range(1, 20)
        )
        for size in (1, 100, 333, len(data)):
            self.assertEqual(in_pieces(self.client().feed, data, size), list(range(1, 20)))

    def test_a_refused_message_is_an_error(self):
        with self.assertRaises(xmpp.Refused):
            self.client().feed(b"<message from='a@b' type='error'><body>x</body></message>")

    def test_scram_as_in_rfc_5802(self):
        first = "n=user,r=fyko+d2lbbFgONRv9qkxdawL"
        challenge = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
        proof = xmpp.scram("pencil", first, challenge).rpartition("p=")[2]
        self.assertEqual(proof, "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=")


class Matrix(unittest.TestCase):
    head = b"HTTP/1.1 200 OK\r\nServer: x\r\n"

    def taken(self, data, size):
        buffer, taken = bytearray(), []
        for at in range(0, len(data), size):
            buffer += data[at : at + size]
            taken += matrix.answers(buffer)
        self.assertEqual(buffer, b"")
        return taken

    def test_answers_with_a_length_and_in_chunks(self):
        whole = self.head + b'Content-Length: 7\r\n\r\n{"a":1}'
        chunked = self.head + b'Transfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n3\r\n:2}\r\n0\r\n\r\n'
        data = whole + chunked + whole
        for size in (1, 5, len(data)):
            self.assertEqual(self.taken(data, size), [{"a": 1}, {"a": 2}, {"a": 1}])

    def test_a_refusal_is_an_error(self):
        with self.assertRaises(matrix.Refused):
            matrix.answers(bytearray(b"HTTP/1.1 429 No\r\nContent-Length: 2\r\n\r\n{}"))
