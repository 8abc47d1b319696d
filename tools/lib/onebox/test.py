"""The command tools/test: checks, then the quick and slow tests, then the scenarios on a running system of its own.

The running system has its own state directory, so a quickstart beside it is not touched; it is removed in any case.
"""
import glob
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from onebox import datastores, down, image
from onebox.settings import CHECKOUT, SetupError, locate
from onebox.show import Progress

STATE = CHECKOUT / ".run-test"
BIN = Path(sys.executable).parent
PYTEST = [sys.executable, "-m", "pytest"]
# Scenarios wait for guests most of the time: two processes, each with a running system of its own, take files in turn.
STAGES = {
    "lint": [[str(BIN / "ruff"), "check", "."], [str(BIN / "lint-imports")], [str(BIN / "mypy")]],
    "quick": [[*PYTEST, "-m", "not slow and not scenario", "-n", "2"]],
    # Some files take minutes: a process that has nothing left takes over what waits for the other one.
    "slow": [[*PYTEST, "-m", "slow and not scenario and not fuzz", "-n", "2", "--dist", "worksteal"]],
    "fuzz": [[*PYTEST, "-m", "fuzz", "-n", "2"]],
    "scenario": [[*PYTEST, "-m", "scenario", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]],
}
# With --coverage: how much of the product the quick tests run. The last line of the report is the total.
COVERED = "quick"
MEASURE = ["--cov=trove", "--cov-report="]
REPORT = [str(BIN / "coverage"), "report"]
HELP = f"""usage: tools/test [{"|".join(STAGES)}] [--coverage] [--long] [ARGUMENT OF PYTEST ...]

Runs all checks and tests, or those of one stage; for example: tools/test quick -k quota -x
With --coverage the quick tests also measure how much of the product they run, which takes them up to twice as long.
With --long those too that take minutes and are left out otherwise; these alone: tools/test scenario --long -m long
Engines whose programs cannot be had are not run; a table at the end names them and the reason. With --require-engines
they are a failure."""
NOT_RUN = "engine not run: "  # begins the reason of a skipped test, as tests/engines says it


def main():
    """Run the stages; returns 0 when all of them passed."""
    pytest_arguments = sys.argv[1:]
    if pytest_arguments[:1] in (["-h"], ["--help"]):
        print(HELP)
        return 0
    # Not argparse: it would take the value of an option of pytest's for our own argument.
    stages = [pytest_arguments.pop(0)] if pytest_arguments[:1] and pytest_arguments[0] in STAGES else list(STAGES)
    with_coverage = "--coverage" in pytest_arguments
    pytest_arguments = [argument for argument in pytest_arguments if argument != "--coverage"]
    os.environ.setdefault("TROVE_STATE", str(STATE))
    os.environ["PATH"] = f"{BIN}:{os.environ['PATH']}"
    os.environ["PYTHONPATH"] = f"{CHECKOUT}:{CHECKOUT / 'contrib/minicloud'}"  # for lint-imports
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that "finally" runs
    closing, failed, absent = [], False, {}
    must_have_engines = "--require-engines" in pytest_arguments
    pytest_arguments = [argument for argument in pytest_arguments if argument != "--require-engines"]
    try:
        if {"slow", "scenario"} & set(stages):
            absent.update(_prepare())
        for stage in stages:
            for command in _commands(stage, with_coverage):
                status, line, seconds = _run(command + (pytest_arguments if command[0] == PYTEST[0] else []), absent)
                failed = failed or status != 0
                closing.append(f"{'ok    ' if status == 0 else 'FAILED'}  {stage:<9}{seconds:6.0f} s  {line}")
    except KeyboardInterrupt:
        closing, failed = [*closing, "interrupted"], True
    except SetupError as error:
        closing, failed = [*closing, str(error)], True
    finally:
        if "scenario" in stages:
            _clean()
    closing.extend(f"{'FAILED' if must_have_engines else 'absent'}  {engine:<16} {reason}"
                   for engine, reason in sorted(absent.items()))
    print("\n".join(["", *closing]))
    return 1 if failed or (absent and must_have_engines) else 0


def _commands(stage, with_coverage):
    if not with_coverage or stage != COVERED:
        return STAGES[stage]
    return [*([*command, *MEASURE] for command in STAGES[stage]), REPORT]


def _prepare():
    """Make the systems of all guests: what takes minutes at the first time is not for one test's deadline.

    Returns {engine: reason} of those that cannot be made.
    """
    def reason(version):
        try:
            image.root(locate()[1], version)
        except SetupError as error:
            return " ".join(str(error).split())[:300]

    versions = datastores.every()
    with Progress().step("guest systems"), ThreadPoolExecutor(image.BUILDERS) as pool:
        reasons = pool.map(reason, versions)
        return {str(version): found for version, found in zip(versions, reasons, strict=True) if found}


def _run(command, absent):
    """Run one command and show its output as it comes; returns its status, its last line and the seconds it took.

    absent: {engine: reason}, to which the engines are added that tests could not run.
    """
    begun, last = time.monotonic(), ""
    print(f"\n$ {' '.join(Path(word).name if word.startswith('/') else word for word in command)}", flush=True)
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace") as process:
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                last = line.strip() or last
                engine, separator, reason = line.partition(NOT_RUN)[2].partition(": ")
                if separator:
                    absent[engine] = reason.strip()
        except BaseException:
            process.terminate()
            process.wait(60)
            raise
    # pytest says 5 when no test has the mark, which is no failure of the tests.
    status = 0 if process.returncode == 5 else process.returncode
    return status, " ".join(last.strip("= ").split()), time.monotonic() - begun


def _clean():
    """Remove the running systems of all processes of pytest."""
    state, _ = locate()
    for directory in (state, *state.parent.glob(f"{glob.escape(state.name)}-gw[0-9]*")):
        os.environ["TROVE_STATE"] = str(directory)
        try:
            for sentence in down.remove(Progress()):
                print(f"left behind: {sentence}", file=sys.stderr)
        except SetupError as error:
            print(error, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
