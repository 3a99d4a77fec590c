"""The body of a message: its number, filled up to a fixed length with letters that no protocol has to escape."""

import re

LENGTH = 200
NUMBER = re.compile(rb"#(\d{12})#")


def body(number):
    return f"#{number:012}#".ljust(LENGTH, "x")


def number_in(text):
    """The number in a body, or None where it is no body of this run's."""
    found = NUMBER.match(text.encode() if isinstance(text, str) else text)
    return int(found[1]) if found and len(text) == LENGTH else None
