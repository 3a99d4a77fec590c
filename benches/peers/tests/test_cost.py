"""The server's figures are those of all its processes, whatever they are called."""

import unittest

from cost import Reading, busy_ticks, family, fields


class Cost(unittest.TestCase):
    def test_a_name_may_hold_anything(self):
        self.assertEqual(fields("7 (a) b) S 1 7")[:2], ["S", "1"])

    def test_descendants_belong_to_a_server(self):
        self.assertEqual(family(5, {5: 1, 6: 5, 7: 6, 8: 1}), {5, 6, 7})

    def test_waiting_is_not_being_busy(self):
        self.assertEqual(busy_ticks("cpu  1 2 3 100 200 4 5 0 0 0\ncpu0 ..."), 15)

    def test_neighbours_are_what_is_left(self):
        cost = Reading(3.0, 2.0, 1.5, 14.0, 9).since(Reading(1.0, 1.0, 1.0, 10.0, 5))
        self.assertEqual((cost.cpu, cost.neighbours, cost.neighbours_percent(), cost.rss), (1.0, 2.5, 125.0, 9))
