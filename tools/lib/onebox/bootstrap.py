"""First stage of every tool, with Debian's Python and nothing else: packages, environment, then the tool itself in it.

Called by tools/lib/start as ``python -m onebox.bootstrap TOOL ARGUMENT...``.
"""
import json
import os
import sys

from onebox import packages, venv
from onebox.settings import SetupError, locate
from onebox.show import Progress

TOOLS = {"quickstart": packages.CLOUD, "attack": packages.CLOUD, "bench": (*packages.CLOUD, "curl"),
         "test": packages.CLOUD + packages.TESTS}
SECONDS = "ONEBOX_SECONDS"  # environment variable: what the steps of this stage took, for the report of the next


def main():
    """Prepare, then replace this process by the tool."""
    tool, arguments = sys.argv[1], sys.argv[2:]
    if os.geteuid():
        sys.exit("Run this as root: it installs packages and starts guests.")
    progress = Progress()
    try:
        if packages.missing(TOOLS[tool]):
            with progress.step("Debian packages"):
                packages.install(TOOLS[tool])
        _, cache = locate()
        if venv.control_plane_missing(cache):
            with progress.step("virtual environment"):
                venv.control_plane(cache)
    except SetupError as error:
        sys.exit(f"{error}")
    python = str(venv.control_plane(cache) / "bin/python")
    os.environ[SECONDS] = json.dumps(progress.seconds)
    os.execv(python, [python, "-m", f"onebox.{tool}", *arguments])


if __name__ == "__main__":
    main()
