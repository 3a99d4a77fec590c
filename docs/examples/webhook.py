#!/usr/bin/env python3
"""A gateway between HTTP and a conversation.

    QPC_HOME=~/.qpc-bot python3 docs/examples/webhook.py --secret-file secret --to ops --listen 127.0.0.1:8080 [--post URL]

`POST /` with `Authorization: Bearer SECRET` and a text, or JSON with `text`, says it in the conversation: 202 once the client has it for
good. With `--post` each message of the conversation is posted there as JSON. TLS is a reverse proxy's; who has the secret can speak as this
account, and whoever runs the gateway reads what is said: it is one end of the encryption.
"""

import argparse
import hmac
import json
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from qpc import Client, Refused

BODY_MAX = 32 * 1024
STATUS = {"usage": 400, "denied": 403, "key_changed": 403, "try_later": 503, "unreachable": 503}


def read_text(body, content_type):
    """What is to be said; raises `ValueError` where there is nothing."""
    text = body.decode("utf-8")
    if content_type.partition(";")[0].strip() == "application/json":
        said = json.loads(text)
        text = said.get("text") if isinstance(said, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise ValueError("nothing to say: a text, or JSON with `text`")
    return text


def handler(client, to, secret):
    """Answers requests with this secret."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self):
            given = self.headers.get("Authorization", "").removeprefix("Bearer ").encode()
            length = self.headers.get("Content-Length", "")
            if not hmac.compare_digest(given, secret):
                return self.say(401, "the secret is another one")
            if not length.isdecimal() or int(length) > BODY_MAX:
                return self.say(413, f"at most {BODY_MAX} bytes, and their number in Content-Length")
            try:
                text = read_text(self.rfile.read(int(length)), self.headers.get("Content-Type", ""))
                return self.say(202, client.ask("send", to=to, text=text)["id"])
            except Refused as refused:
                return self.say(STATUS.get(refused.kind, 500), str(refused))
            except ValueError as error:
                return self.say(400, str(error))

        def say(self, status, text):
            body = (text + "\n").encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Who asked for what is nobody's business."""

    return Handler


def post(client, to, url):
    """Posts what is said in the conversation; what can't be posted is told and lost."""
    for message in client.messages():
        if to not in (message["title"], message["title"].partition("@")[0], message["conversation"]):
            continue
        data = json.dumps({key: message[key] for key in ("id", "sender", "time", "kind", "body")}).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except OSError as error:
            print(f"not posted: {error}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description="Says over HTTP what is posted, and posts what is said.")
    parser.add_argument("--to", required=True, help="a person or a group")
    parser.add_argument("--secret-file", required=True, help="a file with what requests have to know")
    parser.add_argument("--listen", default="127.0.0.1:8080")
    parser.add_argument("--post", help="where messages are posted")
    parser.add_argument("--program", default="qpc-client", help="where the client is")
    options = parser.parse_args()
    with open(options.secret_file, "rb") as file:
        secret = file.read().strip()
    if len(secret) < 16:
        parser.error("a secret has at least 16 bytes")
    client = Client(options.program)
    host, _, port = options.listen.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), handler(client, options.to, secret))
    print(f"listening on {host}:{server.server_address[1]}", flush=True)
    if options.post:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        post(client, options.to, options.post)
    else:
        server.serve_forever()


if __name__ == "__main__":
    main()
