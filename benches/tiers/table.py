"""What runs of qpc-bench found, as rows for a sizing table and as remarks on what spoils a run."""

import math

USE = 50  # percent of a core to plan for
DAY = 86_400
OTHERS_MAX = 10  # percent of a core: more is no quiet machine
FULL = 90  # percent of every core: whoever shares them waits
LATE = 500  # milliseconds
MIB, GIB = 2**20, 2**30

USERS = ["users", "messages / deliveries per s", "server CPU, % of a core", "us per delivery", f"vCPU at {USE} % use"]
USERS += ["memory, MiB (KiB per user)", "written, KiB/s", "disk, GiB a day", "network in / out, Mbit/s", "p50 / p99, ms"]
HARDWARE = ["machine", "in force", "users", "server CPU, % of a core", "held up, s/s", "memory, MiB"]
HARDWARE += ["charged to its group, MiB", "p50 / p99, ms", "held"]


def vcpus(percent):
    """Cores for this load when they are to be half used."""
    return max(1, math.ceil(percent / USE))


def per_day(figures, besides_body):
    """Bytes that the messages of a day at this load add to the disk."""
    return figures["messages_per_s"] * DAY * (besides_body + figures["body_mean_bytes"])


def said(value, digits=1):
    return "…" if value is None else f"{value:,.{digits}f}"


def user_row(users, found, besides_body):
    if found is None:
        return [said(users, 0)] + ["…"] * (len(USERS) - 1)
    figures, server = found["figures"], found["server"]
    daily = None if besides_body is None else per_day(figures, besides_body) / GIB
    return [
        said(users, 0),
        f"{said(figures['messages_per_s'])} / {said(found['rate_per_s'])}",
        said(figures["server_percent"]),
        said(server["cpu_us_per_op"], 0),
        said(vcpus(figures["server_percent"]), 0),
        f"{said(server['rss_peak_bytes'] / MIB, 0)} ({said(server['rss_per_user_bytes'] / 1024, 0)})",
        said(server["io_write_bytes"] / max(found["duration_s"], 1e-9) / 1024, 0),
        said(daily, 2),
        f"{said(figures['in_kbit_per_s'] / 1000, 2)} / {said(figures['out_kbit_per_s'] / 1000, 2)}",
        latency(found),
    ]


def hardware_row(run):
    """Of one run under limits: {machine, in_force, users, found, peak, kills, fault}."""
    found, peak = run["found"], run["peak"]
    row = [run["machine"], run["in_force"], said(run["users"], 0)]
    charged = said(peak and peak / MIB, 0)
    if found is None:
        return [*row, "…", "…", "…", charged, "…", verdict(run)]
    figures = found["figures"]
    throttled = figures.get("throttled_s")
    return [
        *row,
        said(figures["server_percent"]),
        said(throttled and throttled / max(found["duration_s"], 1e-9), 2),
        said(found["server"]["rss_peak_bytes"] / MIB, 0),
        charged,
        latency(found),
        verdict(run),
    ]


def latency(found):
    return f"{said(found['latency_ms']['p50'], 0)} / {said(found['latency_ms']['p99'], 0)}"


def verdict(run):
    """Whether the machine held its users: nothing lost, nothing killed, nothing late, memory within the tier's."""
    if run["kills"]:
        return "no: out of memory"
    if run["fault"]:
        return f"no: {run['fault']}"
    if run["found"]["latency_ms"]["p99"] > LATE:
        return f"no: p99 above {LATE} ms"
    if run["found"]["server"]["rss_peak_bytes"] > run["memory"]:
        return "no: more memory than the machine has"
    return "yes"


def remarks(name, found):
    """What makes a run less of a measurement."""
    if found is None:
        return []
    others = 100 * found["others_cpu_s"] / max(found["duration_s"], 1e-9)
    told = []
    if others > OTHERS_MAX:
        told.append(f"{name}: other processes took {others:.0f} % of a core")
    if found["udp_drops"]:
        told.append(f"{name}: the kernel dropped {found['udp_drops']} packets, because server or clients got no time")
    cores = found["machine"]["cores"]
    used = (found["server"]["cpu_s"], found["bench_cpu_s"])
    server, clients = (100 * cpu / max(found["duration_s"], 1e-9) for cpu in used)
    if server + clients > FULL * cores:
        told.append(f"{name}: server ({server:.0f} %) and clients ({clients:.0f} %) filled the {cores} cores")
    return told


def shortage(run):
    """What a machine could not be given here."""
    if run["cores"] <= run["cores_there"]:
        return []
    return [f"{run['machine']}: there are no {run['cores']} cores here; the row shows what {run['cores_there']} do"]


def markdown(head, rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])
