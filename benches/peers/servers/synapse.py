"""Synapse: SQLite, one process, TLS of its own, no federation; its rate limits are lifted."""

import hashlib
import hmac
import os
import pathlib
import subprocess
from urllib.parse import quote

from clients import matrix
from work import MEMBERS, PAIRS

from .process import PASSWORD, Server, output, together

ENVIRONMENT = pathlib.Path(os.environ.get("QPC_PEERS_SYNAPSE", pathlib.Path.home() / ".cache/qpc-peers/synapse"))
SECRET = "the run's own"
LIMITED = ["rc_message", "rc_registration", "rc_admin_redaction", "rc_room_creation"]
CONFIGURATION = """
server_name: localhost
report_stats: false
pid_file: {directory}/synapse.pid
signing_key_path: {directory}/signing.key
media_store_path: {directory}/media
log_config: {directory}/log.yaml
tls_certificate_path: {tls.chain}
tls_private_key_path: {tls.key}
listeners:
  - port: {port}
    bind_addresses: ["127.0.0.1"]
    type: http
    tls: true
    resources: [{{names: [client]}}]
database: {{name: sqlite3, args: {{database: {directory}/homeserver.db}}}}
registration_shared_secret: "{secret}"
bcrypt_rounds: {rounds}
trusted_key_servers: []
presence: {{enabled: false}}
rc_login: {{address: {lifted}, account: {lifted}, failed_attempts: {lifted}}}
rc_joins: {{local: {lifted}, remote: {lifted}}}
rc_joins_per_room: {lifted}
rc_invites: {{per_room: {lifted}, per_user: {lifted}, per_issuer: {lifted}}}
"""
LIFTED = "{per_second: 100000, burst_count: 100000}"
LOG = """
version: 1
handlers: {file: {class: logging.FileHandler, filename: synapse.log}}
root: {level: WARNING, handlers: [file]}
"""
DEFAULT_ROUNDS, FAST_ROUNDS = 12, 4


class Synapse(Server):
    name = "synapse"
    promise = "committed to SQLite (WAL, synchronous FULL) before the answer"
    setting = "database sqlite3 (default), no presence, rooms not encrypted"
    direct_most = 20
    logins = 24

    def __init__(self, directory, tls):
        super().__init__(directory, tls)
        self.tokens, self.rooms = {}, {}

    @classmethod
    def missing(cls):
        return [] if (ENVIRONMENT / "bin/synapse_homeserver").exists() else ["matrix-synapse"]

    def version(self):
        return "synapse " + output(ENVIRONMENT / "bin/python", "-c", "import synapse; print(synapse.__version__)").strip()

    def configure(self, rounds=FAST_ROUNDS):
        text = CONFIGURATION.format(
            directory=self.directory, tls=self.tls, port=self.port, secret=SECRET, rounds=rounds, lifted=LIFTED
        )
        text += "".join(f"{key}: {LIFTED}\n" for key in LIMITED)
        (self.directory / "homeserver.yaml").write_text(text)
        (self.directory / "log.yaml").write_text(LOG)

    def program(self):
        return [str(ENVIRONMENT / "bin/python"), "-m", "synapse.app.homeserver", "-c", "homeserver.yaml"]

    def command(self):
        return self.program(), {}

    def prepare(self, names, works):
        self.configure()
        subprocess.run([*self.program(), "--generate-keys"], cwd=self.directory, check=True, capture_output=True)
        with self.running():
            self.register(names)
        # Hashing passwords at full strength would take minutes; only those who log in need it.
        self.configure(DEFAULT_ROUNDS)
        with self.running():
            self.register(self.who_log_in(names))
            if "direct" in works:
                clients = self.clients(names[: 2 * PAIRS])
                together(lambda pair: self.address(*pair), list(zip(clients[::2], clients[1::2])))
            if "fanout" in works:
                self.gather(self.clients(names[:MEMBERS]))

    def who_log_in(self, names):
        return [f"login-{name}" for name in names[: self.logins]]

    def register(self, names):
        def make(name):
            http, path = matrix.Http(self.port, self.tls.context), "/_synapse/admin/v1/register"
            nonce = http.ask("GET", path)["nonce"]
            signed = "\0".join([nonce, name, PASSWORD, "notadmin"]).encode()
            mac = hmac.new(SECRET.encode(), signed, hashlib.sha1).hexdigest()
            asked = {"nonce": nonce, "username": name, "password": PASSWORD, "admin": False, "mac": mac}
            self.tokens[name] = http.ask("POST", path, asked)["access_token"]
            http.link.close()

        together(make, names)

    def log_in(self, name):
        return matrix.log_in(self.port, self.tls.context, name, PASSWORD)

    def come(self, name):
        client = matrix.Client(self.port, self.tls.context, name, self.tokens[name])
        client.appear()
        return client

    def room(self, key, maker, guests):
        """A room for these, made once."""
        if key not in self.rooms:
            asked = {"preset": "trusted_private_chat", "invite": [guest.user for guest in guests]}
            self.rooms[key] = room = maker.open().ask("POST", "/_matrix/client/v3/createRoom", asked)["room_id"]
            for guest in guests:
                http = guest.open()
                http.ask("POST", f"/_matrix/client/v3/rooms/{quote(room)}/join", {})
                http.link.close()
        return self.rooms[key]

    def address(self, sender, receiver):
        pair = sorted([sender, receiver], key=lambda client: client.name)
        return self.room(tuple(client.name for client in pair), pair[0], pair[1:])

    def gather(self, clients):
        return self.room("everybody", clients[0], clients[1:])
