"""mosquitto: persistent sessions, quality of service 1, its default persistence."""

import subprocess

from clients.mqtt import Client

from .process import PASSWORD, Server, user_name

ROOM = "room"


class Mosquitto(Server):
    name = "mosquitto"
    packages = ["mosquitto"]
    promise = "in memory; on disk up to 30 min later, and at exit"
    setting = "persistence true, autosave_interval 1800 (default), QoS 1, clean session off"
    direct_most = 5000
    fanout_most = 50

    def configure(self):
        passwords = self.directory / "passwords"
        passwords.touch(0o600)
        (self.directory / "mosquitto.conf").write_text(
            f"""user {user_name()}
per_listener_settings false
allow_anonymous false
password_file {passwords}
persistence true
persistence_location {self.directory}/
max_connections -1
set_tcp_nodelay true
log_dest stderr
log_type error
log_type warning
listener {self.port} 127.0.0.1
certfile {self.tls.chain}
keyfile {self.tls.key}
tls_version tlsv1.3
"""
        )

    def command(self):
        return ["/usr/sbin/mosquitto", "-c", str(self.directory / "mosquitto.conf")], {}

    def prepare(self, names, _works):
        self.configure()
        self.register(names)

    def register(self, names):
        passwords = self.directory / "passwords"
        passwords.write_text("".join(f"{name}:{PASSWORD}\n" for name in names))
        subprocess.run(["mosquitto_passwd", "-U", passwords], check=True, capture_output=True)

    def log_in(self, name):
        return Client(self.port, self.tls.context, name, PASSWORD)

    def listen(self, client):
        client.subscribe(f"to/{client.name}")

    def address(self, sender, receiver):
        return f"to/{receiver.name}"

    def gather(self, clients):
        for client in clients:
            client.subscribe(ROOM)
        return ROOM
