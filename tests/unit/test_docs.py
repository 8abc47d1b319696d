"""The generated pages say what the code says, and every file that the documents name exists."""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_generated_pages_are_up_to_date():
    answer = subprocess.run([sys.executable, ROOT / "tools" / "docs", "--check"], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_files_named_by_the_documents_exist():
    named = set()
    for page in (*ROOT.glob("*.rst"), *ROOT.glob("doc/*.rst")):
        for name in re.findall(r"``((?:trove|tests|tools|doc|etc|contrib)/[\w./-]+)``", page.read_text()):
            named.add((page.name, name))
    missing = {(page, name) for page, name in named if not (ROOT / name).exists()}
    assert named and not missing
