"""Rows are made from what qpc-bench found, and a run that did not hold says so."""

import unittest

import table


def found(**changes):
    memory = {"rss_per_user_bytes": 130 * 1024, "io_write_bytes": 1024 * 1000}
    run = {
        "users": 100,
        "duration_s": 10.0,
        "rate_per_s": 70.0,
        "latency_ms": {"p50": 8.0, "p99": 21.0},
        "server": {"cpu_s": 0.6, "cpu_us_per_op": 857.1, "rss_peak_bytes": 50 * 2**20, **memory},
        "bench_cpu_s": 1.0,
        "others_cpu_s": 0.1,
        "udp_drops": 0,
        "machine": {"cores": 2},
        "figures": {
            "messages_per_s": 7.0,
            "body_mean_bytes": 400.0,
            "server_percent": 6.0,
            "in_kbit_per_s": 100.0,
            "out_kbit_per_s": 300.0,
            "throttled_s": 0.5,
        },
    }
    return run | changes


def run(**changes):
    limits = {"machine": "1 vCPU, 512 MiB", "in_force": "1 by quota; memory", "cores": 1, "cores_there": 1}
    return limits | {"users": 100, "memory": 2**29, "peak": 2**26, "kills": 0, "found": found(), "fault": None} | changes


class Rows(unittest.TestCase):
    def test_cores_are_for_half_use_and_whole(self):
        self.assertEqual([table.vcpus(percent) for percent in (0.5, 50, 50.1, 180)], [1, 1, 2, 4])

    def test_a_day_of_messages_takes_their_bodies_and_what_is_stored_with_them(self):
        self.assertEqual(table.per_day(found()["figures"], 100.0), 7 * 86_400 * 500)

    def test_every_column_has_its_figure(self):
        row = table.user_row(100, found(), 100.0)
        self.assertEqual(row, ["100", "7.0 / 70.0", "6.0", "857", "1", "50 (130)", "100", "0.28", "0.10 / 0.30", "8 / 21"])
        self.assertEqual(len(row), len(table.USERS))
        self.assertEqual(len(table.user_row(100, None, None)), len(table.USERS))
        self.assertEqual(table.user_row(100, found(), None)[7], "…")

    def test_hardware_that_holds_says_yes(self):
        row = table.hardware_row(run())
        self.assertEqual(row[3:], ["6.0", "0.05", "50", "64", "8 / 21", "yes"])
        self.assertEqual((len(row), len(table.HARDWARE)), (9, 9))

    def test_hardware_that_does_not_hold_says_why(self):
        late = found(latency_ms={"p50": 8.0, "p99": 501.0})
        for changes, why in [
            ({"fault": "lost: 3"}, "no: lost: 3"),
            ({"kills": 1, "found": None, "fault": "no answer"}, "no: out of memory"),
            ({"found": late}, "no: p99 above 500 ms"),
            ({"memory": 2**20}, "no: more memory than the machine has"),
            ({"found": None, "fault": "it ended"}, "no: it ended"),
        ]:
            row = table.hardware_row(run(**changes))
            self.assertEqual((row[-1], len(row)), (why, len(table.HARDWARE)))

    def test_what_spoils_a_run_is_said(self):
        self.assertEqual(table.remarks("100 users", found()), [])
        spoilt = found(others_cpu_s=1.5, udp_drops=9, bench_cpu_s=17.5)
        self.assertEqual(len(table.remarks("100 users", spoilt)), 3)
        self.assertEqual(table.remarks("100 users", None), [])

    def test_cores_that_are_not_here_are_said(self):
        self.assertEqual(table.shortage(run()), [])
        self.assertIn("no 8 cores", table.shortage(run(cores=8, cores_there=2))[0])

    def test_markdown_has_a_line_below_its_head(self):
        self.assertEqual(table.markdown(["a", "b"], [["1", "2"]]), "| a | b |\n| --- | --- |\n| 1 | 2 |")
