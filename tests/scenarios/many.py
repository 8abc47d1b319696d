"""Run many commands of a Python client in one process: its modules are loaded once, each command runs in a fork.

Executed with the client's own Python: many.py MODULE. Reads argument lists and writes (status, output), JSON by line.
Imports nothing of this project.
"""
import importlib
import json
import os
import sys
import tempfile

client = importlib.import_module(sys.argv[1])
for line in sys.stdin:
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            sys.argv = json.loads(line)
            sys.exit(client.main())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        sys.stdout.write(json.dumps([status, output.read().decode(errors="replace")]) + "\n")
        sys.stdout.flush()
