"""`qpc-client --json chat` as a class: commands in, answers and events out."""

import itertools
import json
import queue
import subprocess
import threading


class Refused(Exception):
    """A command that was not done; `kind` is the word for programs."""

    def __init__(self, answer):
        super().__init__(answer.get("message", ""))
        self.kind = answer["error"]


class Client:
    """A running client. Events are taken from `events()`, whatever thread asks for something meanwhile."""

    def __init__(self, program="qpc-client", arguments=()):
        command = [program, *arguments, "--json", "chat"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", bufsize=1
        )
        self._numbers = itertools.count(1)
        self._waiting = {}
        self._lock = threading.Lock()
        self._events = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, command, **fields):
        """Does something, and gives its answer; raises `Refused` where it is not done."""
        number, answer = next(self._numbers), queue.Queue(1)
        with self._lock:
            self._waiting[number] = answer
            print(json.dumps({"ref": number, "command": command, **fields}), file=self._process.stdin, flush=True)
        answered = answer.get()
        if answered is None:
            raise EOFError("qpc-client has ended")
        if "error" in answered:
            raise Refused(answered)
        return answered

    def events(self):
        """What happens, as objects with an `event`, until the client ends."""
        while (event := self._events.get()) is not None:
            yield event

    def messages(self):
        """What nobody has been shown, and what comes. Each counts as shown when the next one is asked for."""
        # The store is the truth: an event says only that there may be something.
        yield from self._unshown()
        for event in self.events():
            if event["event"] == "message":
                yield from self._unshown()

    def close(self):
        """Ends the client; what was said is sent first."""
        self._process.stdin.close()
        self._process.wait()

    def _unshown(self):
        while messages := self.ask("unshown", limit=100)["messages"]:
            for message in messages:
                yield message
                self.ask("mark_shown", to=message["conversation"], local=message["local"])

    def _read(self):
        for line in self._process.stdout:
            said = json.loads(line)
            if "ref" in said:
                with self._lock:
                    waiting = self._waiting.pop(said["ref"], None)
                if waiting:
                    waiting.put(said)
            elif "event" in said:
                self._events.put(said)
        with self._lock:
            for waiting in self._waiting.values():
                waiting.put(None)
        self._events.put(None)
