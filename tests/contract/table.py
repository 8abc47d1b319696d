"""The table of the contract: which engine does what, made of the results of the tests and kept in doc/.

``Results`` is a plug-in of pytest (tests/conftest.py). A run of the whole contract compares the page with what it saw;
with --write-pages it writes the page.
"""
from pathlib import Path

from onebox.settings import CHECKOUT

from tests import engines

PAGE = CHECKOUT / "doc/datastores-contract.rst"
PROPERTY = "contract"
NOT_SUPPORTED = "not supported"
_HEAD = """The contract of datastores
==========================

The table shows what the agent does for each datastore and version, as a run of ``tests/contract`` with real servers saw
it. The run writes this page with ``--write-pages`` and fails if the page differs. "Not supported" means that the
datastore has no such thing and that the agent refuses the command.

"""


def cell(item):
    """Return [part, verb, engine] of a test."""
    verb = " ".join(item.function.__doc__.split()).rstrip(".")
    return [Path(item.path).stem.removeprefix("test_"), verb, str(item.callspec.params["tested"])]


class Results:
    """Collects the outcomes of a run, also of several processes. writing: whether the page is to be written."""

    def __init__(self, writing):
        self.writing = writing
        self.found = {}  # {(part, verb): {engine: set of outcomes}}
        self.complaint = None

    def pytest_runtest_logreport(self, report):
        """Note an outcome."""
        found = dict(report.user_properties).get(PROPERTY)
        if not found or (report.when != "call" and report.outcome == "passed"):
            return
        part, verb, engine = found
        outcome = report.outcome
        if outcome == "skipped":
            reason = str(report.longrepr[2])
            outcome = NOT_SUPPORTED if NOT_SUPPORTED in reason else "not run"
        self.found.setdefault((part, verb), {}).setdefault(engine, set()).add(outcome)

    def pytest_sessionfinish(self, session, exitstatus):
        """Compare or write the page when every engine ran every verb."""
        names = [str(engine) for engine in engines.every()]
        whole = self.found and all(engine in row and row[engine] <= {"passed", NOT_SUPPORTED}
                                   for row in self.found.values() for engine in names)
        if hasattr(session.config, "workerinput") or not whole or not self._is_whole():
            return
        text = page(self.found, names)
        if self.writing:
            PAGE.write_text(text)
        elif not PAGE.exists() or PAGE.read_text() != text:
            self.complaint = f"{PAGE} is not what this run saw: run the contract with --write-pages"
            session.exitstatus = 1

    def _is_whole(self):
        files = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
        return files == {part for part, _ in self.found}

    def pytest_terminal_summary(self, terminalreporter):
        """Say what is wrong with the page."""
        if self.complaint:
            terminalreporter.write_line(self.complaint, red=True)


def page(found, names):
    """Return the text of the page. found: as Results has it; names: of the engines."""
    rows = []
    for (part, verb), outcomes in sorted(found.items()):
        rows.append((part, verb, *("yes" if "passed" in outcomes[name] else NOT_SUPPORTED for name in names)))
    titles = ("Part", "What the agent does", *names)
    widths = [max(len(row[column]) for row in (titles, *rows)) for column in range(len(titles))]
    line = " ".join("=" * width for width in widths)
    lines = [" ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
             for row in (titles, *rows)]
    return _HEAD + "\n".join([line, lines[0], line, *lines[1:], line]) + "\n"
