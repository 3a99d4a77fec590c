"""What XMPP servers have in common: how people register, log in, listen, and are addressed."""

from clients import xmpp

from .process import PASSWORD, Server, together


class Jabber(Server):
    """An XMPP server; each kind says how it is configured and started."""

    def register(self, names):
        together(lambda name: xmpp.register(self.port, self.tls.context, name, PASSWORD), names)

    def log_in(self, name):
        return xmpp.Client(self.port, self.tls.context, name, PASSWORD)

    def listen(self, client):
        client.appear()

    def address(self, sender, receiver):
        return f"{receiver.name}@{xmpp.DOMAIN}"

    def gather(self, clients):
        for client in clients:
            client.join("room")
        return f"room@{xmpp.ROOMS}"
