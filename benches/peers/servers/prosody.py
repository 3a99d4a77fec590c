"""Prosody: SQLite for everything, archives of direct and room messages, stream management on offer."""

import os

from .jabber import Jabber

CONFIGURATION = """
run_as_root = {root}
daemonize = false
pidfile = "{directory}/prosody.pid"
data_path = "{directory}/data"
log = {{ warn = "*console" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ }}
s2s_ports = {{ }}
c2s_direct_tls_ports = {{ {port} }}
ssl = {{ key = "{tls.key}", certificate = "{tls.chain}", protocol = "tlsv1_3" }}
modules_enabled = {{
    "disco", "roster", "saslauth", "tls", "blocklist", "bookmarks", "carbons", "pep", "private", "smacks", "vcard4",
    "vcard_legacy", "csi_simple", "ping", "register", "time", "uptime", "version", "posix", "mam",
}}
modules_disabled = {{ "s2s" }}
allow_registration = true
authentication = "internal_hashed"
storage = "sql"
sql = {{ driver = "SQLite3", database = "prosody.sqlite" }}
archive_expires_after = "1w"
VirtualHost "localhost"
Component "rooms.localhost" "muc"
    modules_enabled = {{ "muc_mam" }}
    muc_log_by_default = true
    muc_room_default_persistent = true
    muc_room_locking = false
    muc_room_default_presence_broadcast = {{ visitor = false, participant = false, moderator = false }}
"""


class Prosody(Jabber):
    name = "prosody"
    packages = ["prosody", "lua-dbi-sqlite3"]
    promise = "none asked for; archived with 8 fdatasync a direct message (two copies)"
    setting = "SQLite3, mam, muc_mam; stream management on offer, not used"
    direct_most = 200
    fanout_most = 2

    def configure(self):
        (self.directory / "data").mkdir()
        root = "true" if os.geteuid() == 0 else "false"
        text = CONFIGURATION.format(root=root, directory=self.directory, port=self.port, tls=self.tls)
        (self.directory / "prosody.cfg.lua").write_text(text)

    def command(self):
        return ["prosody", "-F", "--config", str(self.directory / "prosody.cfg.lua")], {}
