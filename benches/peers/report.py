"""Many windows made into medians and ratios, for people as tables and for programs as JSON; and whether the run failed."""

from statistics import median

OURS = "quicprochat"


def summary(results):
    """One row for each (work, server), in the order in which they came first; `results` holds (server, Result)."""
    groups = {}
    for server, result in results:
        groups.setdefault((result.work, server), []).append(result)
    rows = [row(work, server, found) for (work, server), found in groups.items()]
    order = list(dict.fromkeys(each["work"] for each in rows))
    rows.sort(key=lambda each: order.index(each["work"]))
    ours = {row["work"]: row for row in rows if row["server"] == OURS}
    for each in rows:
        base = ours.get(each["work"])
        each["cpu_ratio"] = ratio(each["cpu_us_per_op"], base and base["cpu_us_per_op"])
        each["memory_ratio"] = ratio(each["kib_per_client"], base and base["kib_per_client"])
    return rows


def row(work, server, found):
    def middle(values):
        known = [value for value in values if value is not None]
        return median(known) if known else None

    return {
        "work": work,
        "server": server,
        "op": found[0].op,
        "windows": len(found),
        "ops": middle([each.ops for each in found]),
        "ops_per_s": middle([each.ops / max(each.seconds, 1e-9) for each in found]),
        # What is silent costs nothing for each operation, there being none.
        "cpu_us_per_op": middle([each.cpu_us() for each in found]) if found[0].op != "client" else None,
        "cpu_percent": middle([100 * each.cpu / max(each.seconds, 1e-9) for each in found]),
        "coarse": any(each.coarse() for each in found),
        "kib_per_client": middle([each.per_client and each.per_client / 1024 for each in found]),
        "rss_mib": middle([each.rss / 2**20 for each in found]),
        "neighbours_percent": middle([each.neighbours_percent for each in found]),
        "faults": [fault for each in found for fault in each.faults],
    }


def ratio(value, base):
    return value / base if value is not None and base else None


def failures(results, broken):
    """Why the run fails, in words: a fault in any window, or a server that broke off."""
    return [f"{server}, {result.work}: {fault}" for server, result in results for fault in result.faults] + broken


def said(value, digits=1):
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else f"{value:,.{digits}f}"


def columns(lines):
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def table(rows):
    head = ["work", "server", "op/s", "CPU us/op", "x ours", "CPU %", "KiB/client", "x ours", "RSS MiB", "neighbours %"]
    lines = [head]
    for each in rows:
        cpu = said(each["cpu_us_per_op"])
        if cpu and each["coarse"]:
            cpu = "~" + cpu
        lines.append(
            [each["work"], each["server"], said(each["ops_per_s"]) if each["op"] != "client" else "", cpu]
            + [said(each["cpu_ratio"], 2), said(each["cpu_percent"]), said(each["kib_per_client"])]
            + [said(each["memory_ratio"], 2), said(each["rss_mib"]), said(each["neighbours_percent"], 0)]
        )
    return columns(lines)


def promises(servers):
    lines = [["server", "version", "what an acknowledgement promises", "setting"]]
    return columns(lines + [[each.name, each.about, each.promise, each.setting] for each in servers])
