#!/usr/bin/env python3
"""A bot: answers `!echo WORDS`, `!roll [SIDES]` and `!help`, to people and in groups.

    QPC_HOME=~/.qpc-bot python3 docs/examples/bot.py [--accept] [--program qpc-client]
"""

import argparse
import random

from qpc import Client, Refused

HELP = "I know !echo WORDS, !roll [SIDES] and !help."


def answer(text):
    """What to say to this; `None` for nothing."""
    word, _, rest = text.strip().partition(" ")
    if word == "!echo":
        return rest.strip() or "echo what?"
    if word == "!roll":
        sides = int(rest) if rest.strip().isdecimal() and 0 < int(rest) <= 1_000_000 else 6
        return f"{random.randint(1, sides)} of {sides}"
    return HELP if word == "!help" else None


def main():
    parser = argparse.ArgumentParser(description="A bot that answers !echo, !roll and !help.")
    parser.add_argument("--accept", action="store_true", help="accept whoever writes first")
    parser.add_argument("--program", default="qpc-client", help="where the client is")
    options = parser.parse_args()
    client = Client(options.program)
    for message in client.messages():
        # What came twice, because the bot ended in between, is answered twice: it marks a message after its answer.
        text = answer(message["body"]) if message["kind"] == "text" else None
        if text is None:
            continue
        to = message["conversation"]
        try:
            if options.accept and message["title"] == message["sender"]:
                client.ask("accept", who=message["sender"])
            client.ask("reply", to=to, message=message["id"], text=text)
        except Refused as refused:
            print(f"not answered: {refused}", flush=True)


if __name__ == "__main__":
    main()
