"""The command tools/attack: try, from inside a guest and with a tenant's token, what must not be possible.

Works on the set-up of tools/quickstart, which it starts if need be and leaves running. It speaks to the services of
this set-up alone. The exit status is 1 when an attack was not refused, 2 when nothing could be tried.
"""
import argparse
import collections
import json
import random
import sys
import time
import traceback

from keystoneauth1 import exceptions
from pymysql.err import MySQLError

from onebox import attack_api, attack_bus, attack_reach, attack_store, quickstart
from onebox.attack_list import CAUSES
from onebox.attack_stage import SETTLE, Broken, Stage, Weak, difference
from onebox.bench import conditions
from onebox.settings import SetupError, choose, exclusive
from onebox.show import Progress

REPORTED = 65
REFUSED, WEAK, BROKEN, FAULTY = "refused", "weak", "BROKEN", "faulty"
# In this order: what floods comes last.
ATTACKS = (*attack_reach.ATTACKS, *attack_bus.ATTACKS, *attack_store.ATTACKS, *attack_api.ATTACKS, *attack_bus.FLOODS)


def main():
    """Run the attacks; return the exit status."""
    arguments = _parser().parse_args()
    chosen = select(ATTACKS, arguments.short, arguments.only)
    if arguments.list:
        print("\n".join(f"{each.name:<40}{each.cause:<10}{each.tries}" for each in chosen))
        return 0
    if not chosen:
        print(f"No attack has one of {arguments.only} in its name; --list shows them", file=sys.stderr)
        return 2
    progress, begun = Progress(), time.monotonic()
    try:
        settings = choose()
        with exclusive(settings.state):
            quickstart.system(settings, progress)
            rows = run(Stage(settings, progress, random.Random(arguments.seed), arguments.short,  # noqa: S311 - no secret
                             arguments.patience), chosen)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    report = {"seed": arguments.seed, "short": arguments.short, "seconds": round(time.monotonic() - begun, 1),
              "conditions": conditions(), "totals": totals(rows), "attacks": rows}
    print(json.dumps(report, indent=2) if arguments.json else text(report))
    return 0 if all(row["result"] == REFUSED for row in rows) else 1


def select(attacks, short, only):
    """Return the attacks of a run. only: texts, one of which must be in the name."""
    return [each for each in attacks if not (short and each.long) and any(text in each.name for text in only)]


def run(stage, attacks):
    """Prepare the stage, carry out the attacks one after the other, and clear up; return the rows of the report."""
    progress, rows = stage.progress, []
    try:
        with progress.step("two tenants, their instances, the intruder"):
            stage.set_up()
        state = stage.witness()
        for number, attack in enumerate(attacks, 1):
            row, state = carry_out(stage, attack, state)
            if row["result"] == FAULTY:  # it was not carried out, which a busy machine can cause: once more
                row, state = carry_out(stage, attack, state)
            rows.append(row)
            progress.say(f"{row['result']:<8}{number:>3}/{len(attacks)} {attack.name} ({row['seconds']:.1f} s)"
                         + ("" if row["result"] == REFUSED else f": {row['evidence']}"))
    finally:
        with progress.step("clearing up"):
            stage.take_down()
    return rows


def carry_out(stage, attack, before):
    """Run one attack, then the witness; return the row of the report and what the witness saw."""
    mark, begun = stage.mark(), time.monotonic()
    result, seen = FAULTY, []
    try:
        evidence, result = str(attack.run(stage)), REFUSED
        seen = _await_events(stage, mark, attack.events)
        if attack.events and not set(seen) & set(attack.events):
            result, evidence = WEAK, f"{evidence}; no event {' or '.join(attack.events)} was reported"
    except Broken as error:
        result, evidence = BROKEN, str(error)
    except Weak as error:
        result, evidence = WEAK, str(error)
    except (SetupError, exceptions.ClientException, MySQLError, OSError) as error:
        evidence = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an attack that is faulty must not hide the results of the others
        evidence = traceback.format_exc()[-600:]
    after, changed = _look(stage, before)
    if changed:
        result, evidence = BROKEN, f"{evidence}; changed: {changed}"
    seen = seen or sorted({name for name, _ in stage.events(mark)})
    return {"attack": attack.name, "cause": CAUSES[attack.cause], "tries": attack.tries, "expected": attack.expected,
            "events_expected": list(attack.events), "events_seen": seen, "result": result,
            "evidence": " ".join(evidence.split())[:700], "seconds": round(time.monotonic() - begun, 1)}, after


def _await_events(stage, mark, expected):
    """Return the names of the events since the mark; wait for one of the expected.

    An expected one of the last REPORTED seconds counts: services report a kind of event once a minute for each guest.
    """
    time.sleep(SETTLE if not expected else 0.2)
    end = time.monotonic() + stage.patience
    while True:
        now, seen = time.monotonic(), {name for name, _ in stage.events(mark)}
        stage.reported.update(dict.fromkeys(seen, now))
        recent = {name for name in expected if now - stage.reported.get(name, -REPORTED) < REPORTED}
        if not expected or seen & set(expected) or now > end - (stage.patience - SETTLE if recent else 0):
            return sorted(seen | recent)
        time.sleep(0.2)


def _look(stage, before):
    """Return the witness's view and what changed; look twice, as a guest may be busy for a moment."""
    try:
        after = stage.witness()
    except (exceptions.ClientException, KeyError, OSError) as error:
        time.sleep(5)
        try:
            after = stage.witness()
        except (exceptions.ClientException, KeyError, OSError) as again:
            return before, f"the witness cannot look any more: {type(error).__name__}: {error}; {again}"
    changed = difference(before, after)
    if changed:
        time.sleep(3)
        after = stage.witness()
        changed = difference(before, after)
    return after, changed


def totals(rows):
    """Return {result: number} with all results, the worst first."""
    counted = collections.Counter(row["result"] for row in rows)
    return {name: counted[name] for name in (BROKEN, WEAK, FAULTY, REFUSED)}


def text(report):
    """Return the report for people: a table, then the evidence of each attack that was not refused."""
    rows = report["attacks"]
    columns = (("attack", "attack"), ("result", "result"), ("expected", "expected refusal"), ("events_seen", "events"))
    cells = [[head for _, head in columns], *[
        [", ".join(row[key]) if isinstance(row[key], list) else row[key] for key, _ in columns] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines += ["", *[f"{row['result']} {row['attack']}: {row['evidence']}" for row in rows if row["result"] != REFUSED]]
    counted = ", ".join(f"{number} {name}" for name, number in report["totals"].items())
    return "\n".join([*lines, f"{len(rows)} attacks in {report['seconds']} s, seed {report['seed']}: {counted}"])


def _parser():
    parser = argparse.ArgumentParser(prog="tools/attack", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of what is chosen at random (default: %(default)s)")
    parser.add_argument("--short", action="store_true", help="leave out the attacks that take long")
    parser.add_argument("--patience", type=float, default=8, metavar="SECONDS",
                        help="for an expected security event to be logged (default: %(default)s)")
    parser.add_argument("--only", metavar="TEXT", nargs="+", default=[""],
                        help="only attacks with one of these texts in their names")
    parser.add_argument("--list", action="store_true", help="show the attacks, run none")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
