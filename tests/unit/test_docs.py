"""The generated pages say what the code says, every page can be rendered, and every file that is named exists."""
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docutils import core, utils

ROOT = Path(__file__).parents[2]

PAGES = (*ROOT.glob("*.rst"), *ROOT.glob("doc/*.rst"))


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("contrib/*/*.rst")], ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_can_be_rendered(page):
    """As HTML, without a warning, and with links that lead somewhere."""
    core.publish_string(page.read_text(), source_path=str(page), writer="html5", settings_overrides={
        "halt_level": utils.Reporter.WARNING_LEVEL, "report_level": utils.Reporter.SEVERE_LEVEL, "traceback": True,
        "file_insertion_enabled": False})


def test_generated_pages_are_up_to_date():
    answer = subprocess.run([sys.executable, ROOT / "tools" / "docs", "--check"], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_files_named_by_the_documents_exist():
    named = set()
    for page in PAGES:
        for name in re.findall(r"``((?:trove|tests|tools|doc|etc|contrib)/[\w./-]+)``", page.read_text()):
            named.add((page.name, name))
    missing = {(page, name) for page, name in named if not (ROOT / name).exists()}
    assert named and not missing
