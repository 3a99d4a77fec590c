"""Whether every message that was sent reached everybody it was for, once.

A judged window that lost, doubled or misdirected anything fails the run: what it cost is then no figure.
"""


class Judge:
    def __init__(self, first=1):
        self.next = first
        self.sent = {}  # number: (sender, receivers)
        self.arrived = {}  # number: those whom it has reached
        self.expected = 0
        self.delivered = 0
        self.duplicated = 0
        self.strays = 0

    def send(self, sender, receivers):
        """The number of a message that is about to be sent; the sender's own copy is not counted."""
        number, self.next = self.next, self.next + 1
        self.sent[number] = (sender, receivers)
        self.arrived[number] = set()
        self.expected += len(receivers) - (sender in receivers)
        return number

    def arrive(self, name, number):
        """Whether the message has now reached all of its receivers."""
        if number not in self.sent:
            self.strays += 1
            return False
        sender, receivers = self.sent[number]
        if name == sender:
            return False
        reached = self.arrived[number]
        if name not in receivers:
            self.strays += 1
        elif name in reached:
            self.duplicated += 1
        else:
            reached.add(name)
            self.delivered += 1
            return len(reached) == len(receivers) - (sender in receivers)
        return False

    def complete(self):
        return self.delivered == self.expected

    def faults(self):
        """What fails the run, in words; empty where nothing does."""
        counts = {"lost": self.expected - self.delivered, "duplicated": self.duplicated, "misdirected": self.strays}
        return [f"{count} {what}" for what, count in counts.items() if count]
