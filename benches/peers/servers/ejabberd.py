"""ejabberd: message archives, offline messages and rosters in SQLite, accounts in Mnesia, as its packages do."""

import platform

from .jabber import Jabber

LIBRARIES = f"/usr/lib/{platform.machine()}-linux-gnu"
CONFIGURATION = """
loglevel: warning
hosts:
  - localhost
certfiles:
  - "{tls.both}"
ca_file: "{tls.chain}"
listen:
  -
    port: {port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    access: all
    shaper: none
    tls: true
    protocol_options: ["no_sslv3", "no_tlsv1", "no_tlsv1_1", "no_tlsv1_2"]
auth_password_format: scram
registration_timeout: infinity
default_db: mnesia
sql_type: sqlite
sql_database: "{directory}/ejabberd.sqlite"
acl:
  local:
    user_regexp: ""
modules:
  mod_adhoc: {{}}
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_last: {{}}
  mod_mam:
    db_type: sql
    default: always
  mod_muc:
    host: rooms.localhost
    max_users: 2000
    default_room_options:
      mam: true
      persistent: true
      max_users: 2000
      presence_broadcast: []
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_register:
    access: all
    ip_access: all
  mod_roster:
    versioning: true
  mod_stream_mgmt: {{}}
  mod_vcard: {{}}
"""


class Ejabberd(Jabber):
    name = "ejabberd"
    packages = ["ejabberd", "erlang-p1-sqlite3"]
    promise = "none asked for; archived with 8 fdatasync a direct message (two copies)"
    setting = "mod_mam in SQLite, accounts in Mnesia; stream management on offer, not used; +sbwt none"
    direct_most = 200
    fanout_most = 2

    def configure(self):
        text = CONFIGURATION.format(directory=self.directory, port=self.port, tls=self.tls)
        (self.directory / "ejabberd.yml").write_text(text)

    def command(self):
        # Not through ejabberdctl: it wants the system's user, and a node name means a daemon beside it.
        environment = {
            "EJABBERD_CONFIG_PATH": str(self.directory / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self.directory / "ejabberd.log"),
            "ERL_LIBS": LIBRARIES,
            "ERL_CRASH_DUMP_BYTES": "0",
            "HOME": str(self.directory),
        }
        waits = ["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
        mnesia = ["-mnesia", "dir", f'"{self.directory}/mnesia"']
        return ["erl", "+K", "true", "+P", "250000", *waits, "-noinput", *mnesia, "-s", "ejabberd"], environment
