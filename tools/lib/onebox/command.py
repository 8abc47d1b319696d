"""Run a command of the machine to its end; the one place where tools call subprocess.run."""
import os
import subprocess

from onebox.settings import SetupError


def run(command, *, timeout=600, stdin=None, environment=None, cwd=None, accept=(0,)):
    """The standard output of ``command`` (an argument list).

    environment: added to this process's; accept: exit statuses that are no failure. Raises SetupError with the end of
    its error output when it fails.
    """
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, cwd=cwd,
                              env={**os.environ, **(environment or {})}, check=False)
    except FileNotFoundError:
        raise SetupError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise SetupError(f"{' '.join(command[:3])} ... did not end within {timeout} s") from None
    if done.returncode not in accept:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise SetupError(f"{' '.join(map(str, command[:4]))} ... failed ({done.returncode}):\n{tail}")
    return done.stdout
