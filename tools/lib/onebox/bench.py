"""The command tools/bench: measure, and print a table with the machine's conditions beside it.

Works on the set-up of tools/quickstart, which it starts if need be and leaves running; "fleet" has one of its own.
"""
import argparse
import json
import math
import os
import platform
import signal
import statistics
import sys
from pathlib import Path

from onebox import (
    bench_agent,
    bench_api,
    bench_backup,
    bench_compare,
    bench_failover,
    bench_fleet,
    bench_flood,
    bench_guests,
    bench_slow,
    quickstart,
)
from onebox.settings import SetupError, choose, exclusive
from onebox.show import Progress


def main():
    """Run one benchmark; returns the exit status."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that "finally" runs
    progress = Progress()
    try:
        if arguments.benchmark == "fleet":
            before = conditions()
            rows, failed = bench_fleet.run(progress, arguments)
        else:
            settings = choose()
            with exclusive(settings.state):
                if arguments.benchmark != "compare":  # which needs nothing of it
                    quickstart.system(settings, progress)
                before = conditions()
                rows, failed = arguments.run(settings, progress, arguments)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    report = {"benchmark": arguments.benchmark, "before": before, "after": conditions(), "rows": rows}
    print(json.dumps(report, indent=2) if arguments.json else text(report))
    return 1 if failed else 0


def conditions():
    """What the machine is and how busy it is."""
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return {"cpus": os.cpu_count(), "load": [round(value, 2) for value in os.getloadavg()],
            "memory_gb": round(int(memory["MemTotal"].split()[0]) / 2**20, 1),
            "available_gb": round(int(memory["MemAvailable"].split()[0]) / 2**20, 1),
            "kernel": platform.release(), "python": platform.python_version()}


def summary(values):
    """p50, p99 and the largest of a list of numbers, as columns."""
    ordered = sorted(values)
    return {"p50": round(statistics.median(ordered), 4), "p99": round(ordered[math.ceil(0.99 * len(ordered)) - 1], 4),
            "max": round(ordered[-1], 4)}


def text(report):
    """The table for people. rows: dicts with the same keys; a key "note" is printed behind the table."""
    lines = []
    for when in ("before", "after"):
        state = report[when]
        lines.append(f"{when + ':':<8}load {' '.join(map(str, state['load']))}, {state['available_gb']} of "
                     f"{state['memory_gb']} GB free, {state['cpus']} CPUs, Python {state['python']}")
    columns = [key for key in report["rows"][0] if key != "note"]
    widths = {key: max(len(key), *(len(_cell(row.get(key))) for row in report["rows"])) for key in columns}
    lines += ["", "  ".join(f"{key:<{widths[key]}}" for key in columns)]
    for row in report["rows"]:
        lines.append("  ".join(f"{_cell(row.get(key)):<{widths[key]}}" for key in columns) + f"  {row.get('note', '')}")
    return "\n".join(line.rstrip() for line in lines)


def _cell(value):
    return "" if value is None else str(value)


def _count(value):
    if not value.isdigit() or not int(value):
        raise argparse.ArgumentTypeError(f"{value!r} is not a number from 1 on")
    return int(value)


def _positive(value):
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < 100000:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number above 0")
    return number


def _parser():
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")

    def add(name, run, count=None):
        command = commands.add_parser(name, help=run.__doc__.splitlines()[0])
        command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
        if count:
            command.add_argument("--count", type=_count, default=count, help="how many (default: %(default)s)")
        command.set_defaults(run=run)
        return command
    add("create", bench_guests.create, 20)
    burst = add("burst", bench_guests.burst, 20)
    burst.add_argument("--rounds", type=_count, default=1, help="rounds of each build (default: %(default)s)")
    api = add("api", bench_api.run)
    api.add_argument("--count", type=_count, nargs="+", default=[1000, 10000], help="numbers of instances "
                     "(default: 1000 10000)")
    api.add_argument("--workers", type=_count, nargs="+", default=[1, 2], help="numbers of workers (default: 1 2)")
    api.add_argument("--only", metavar="PATH", help="one route below the tenant, such as /instances/{instance_id}")
    api.add_argument("--connection", help="URL of a database that may be emptied (default: a SQLite file of its own)")
    compare = add("compare", bench_compare.run)
    compare.add_argument("--with", dest="with_", type=Path, required=True, metavar="DIRECTORY",
                         help="checkout of the build to compare with")
    compare.add_argument("--rounds", type=_count, default=3, help="rounds of each work (default: %(default)s)")
    compare.add_argument("--only", nargs="+", choices=bench_compare.WORKS, default=bench_compare.WORKS,
                         help="what to measure (default: all)")
    add("slow", bench_slow.run)
    add("memory", bench_guests.memory)
    agent = add("agent", bench_agent.run)
    agent.add_argument("--seconds", type=_count, default=60, help="seconds without work (default: %(default)s)")
    agent.add_argument("--backups", type=_count, default=5, help="backups in turn (default: %(default)s)")
    agent.add_argument("--warm-mb", type=_count, default=150, help="MB in the table (default: %(default)s)")
    for each in (agent, burst):
        each.add_argument("--beside", metavar="CHECKOUT", help="measure another build as well; its set-up stays")
    flood = add("flood", bench_flood.run, 20)
    flood.add_argument("--seconds", type=_count, default=60, help="seconds of flood (default: %(default)s)")
    fleet = add("fleet", bench_fleet.run)
    fleet.add_argument("--agents", type=_count, default=10000, help="simulated guests (default: %(default)s)")
    fleet.add_argument("--minutes", type=_positive, default=10, help="minutes of steady work (default: %(default)s)")
    fleet.add_argument("--interval", type=_positive, default=10, help="seconds between two heartbeats of a guest "
                       "(default: %(default)s); a short one gives a conductor the reports of many guests with few "
                       "connections")
    fleet.add_argument("--logs", metavar="DIRECTORY", help="keep the logs of all processes there")
    backup = add("backup", bench_backup.run)
    backup.add_argument("--size-mb", type=_count, default=300, help="MB of data (default: %(default)s)")
    backup.add_argument("--rounds", type=int, default=5, help="rounds of both (default: %(default)s)")
    failover = add("failover", bench_failover.run)
    failover.add_argument("--rounds", type=_count, default=20, help="switchovers (default: %(default)s)")
    failover.add_argument("--ejections", type=int, default=20, help="ejections, each of more than a minute (default: "
                          "%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
