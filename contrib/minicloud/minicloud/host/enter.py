"""Runs one command inside a guest: `enter.py PID CGROUP_PROCS_JSON ARGV...`. Used by exec_guest alone.

The command gets the guest's limits, namespaces and capabilities. Merely entering the namespaces would leave it with all
the powers of the host's root, outside of the guest's limits.
"""

from __future__ import annotations

import json
import os
import sys

from minicloud.host import syscalls


def main(pid: int, groups: list[str], argv: list[str]) -> int:
    """Enter the guest whose init is `pid`, run `argv`, return its exit status (127: cannot be executed)."""
    for group in groups:
        with open(group, "w") as file:
            file.write("0")
    names = ("cgroup", "ipc", "uts", "net", "pid", "mnt")
    for namespace in [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in names]:
        syscalls.setns(namespace)
        os.close(namespace)
    os.chdir("/")
    syscalls.drop_capabilities()
    child = os.fork()  # the pid namespace is entered by children only
    if child == 0:
        syscalls.die_with_parent()  # a command that exceeds its time must not stay behind in the guest
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
        }
        try:
            os.execvpe(argv[0], argv, environment)
        except OSError as error:
            print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
            os._exit(127)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    status = main(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:])
    sys.exit(status if status >= 0 else 128 - status)
