"""A message that is lost, doubled or misdirected fails the run; what is judged well passes."""

import unittest

import report
from judge import Judge
from servers import ours
from work import Result

ROOM = {"a", "b", "c"}


def failures(judge):
    result = Result("direct", "delivery", judge.delivered, 1.0, 0.5, 0.0, 0, faults=judge.faults())
    return report.failures([("peer", result)], [])


class Judging(unittest.TestCase):
    def setUp(self):
        self.judge = Judge()
        self.number = self.judge.send("a", ROOM)

    def test_everything_once_passes(self):
        self.assertFalse(self.judge.arrive("b", self.number))
        self.assertTrue(self.judge.arrive("c", self.number))
        self.judge.arrive("a", self.number)  # the sender's own copy is nobody's delivery
        self.assertTrue(self.judge.complete())
        self.assertEqual((self.judge.delivered, failures(self.judge)), (2, []))

    def test_a_lost_delivery_fails(self):
        self.judge.arrive("b", self.number)
        self.assertFalse(self.judge.complete())
        self.assertEqual(failures(self.judge), ["peer, direct: 1 lost"])

    def test_a_duplicated_delivery_fails(self):
        for name in ("b", "c", "c"):
            self.judge.arrive(name, self.number)
        self.assertTrue(self.judge.complete())
        self.assertEqual(failures(self.judge), ["peer, direct: 1 duplicated"])

    def test_a_double_does_not_make_up_for_a_loss(self):
        for name in ("b", "b"):
            self.judge.arrive(name, self.number)
        self.assertEqual(failures(self.judge), ["peer, direct: 1 lost", "peer, direct: 1 duplicated"])

    def test_what_is_not_for_somebody_fails(self):
        for name, number in (("b", self.number), ("c", self.number), ("d", self.number), ("b", 99), ("b", None)):
            self.judge.arrive(name, number)
        self.assertEqual(failures(self.judge), ["peer, direct: 3 misdirected"])

    def test_a_server_that_breaks_off_fails_the_run(self):
        self.assertEqual(report.failures([], ["peer, idle: it went"]), ["peer, idle: it went"])


class Ours(unittest.TestCase):
    found = {
        **{"scenario": "direct", "users": 200, "duration_s": 2.0, "delivered": 100, "others_cpu_s": 1.0},
        **{"lost": 0, "duplicated": 0, "reordered": 0, "errors": 0, "failures": []},
        "server": {"cpu_s": 0.1, "cpu_us_per_op": 1000.0, "rss_bytes": 1 << 20, "rss_per_user_bytes": 4096},
    }

    def test_the_cost_is_taken_over(self):
        result = ours.result("direct at 50/s", self.found, 0)
        self.assertEqual((result.ops, result.cpu_us(), result.neighbours_percent, result.faults), (100, 1000.0, 50.0, []))

    def test_every_fault_that_it_counts_is_one(self):
        for key in ("lost", "duplicated", "reordered", "errors"):
            self.assertEqual(ours.result("direct", self.found | {key: 2}, 1).faults, [f"2 {key}"])

    def test_a_run_that_failed_otherwise_is_no_success(self):
        self.assertEqual(ours.result("direct", self.found, 1).faults, ["exit 1"])


class Rows(unittest.TestCase):
    def test_medians_and_ratios(self):
        def result(cpu):
            return Result("login", "login", 100, 1.0, cpu, 0.0, 0)

        rows = report.summary([("quicprochat", result(cpu)) for cpu in (0.2, 0.9, 0.1)] + [("peer", result(0.5))])
        self.assertEqual([(row["cpu_us_per_op"], row["cpu_ratio"]) for row in rows], [(2000.0, 1.0), (5000.0, 2.5)])
        self.assertEqual([row["coarse"] for row in rows], [False, False])
        self.assertIn("2.50", report.table(rows))

    def test_few_ticks_are_marked(self):
        rows = report.summary([("peer", Result("direct", "delivery", 60, 1.0, 0.02, 0.0, 0))])
        self.assertTrue(rows[0]["coarse"])
        self.assertIn("~333.3", report.table(rows))
