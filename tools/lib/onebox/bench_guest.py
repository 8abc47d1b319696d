"""The guest that tools/bench api lets trove-api ask: it knows its part and answers at once."""
_USER = {"_name": "bob", "_host": "%", "_password": None, "_databases": []}
_ANSWERS = {
    "get_filesystem_stats": {"used": 0.1}, "list_databases": ([], None), "list_users": ([], None), "get_user": _USER,
    "list_access": [], "rpc_ping": True, "get_hwinfo": {"mem_total": 524288, "num_cpus": 1},
    "get_diagnostics": {"version": "1", "threads": 2, "fd_size": 64, "vm_size": 5, "vm_peak": 6, "vm_rss": 3,
                        "vm_hwm": 4},
}
CALLS = []  # names of the calls in this process


def client(_context, _instance_id, _manager=None):
    """The factory that the option remote_guest_client names."""
    return Guest()


class Guest:
    """Has the methods of ``_ANSWERS``."""

    def __getattr__(self, name):
        CALLS.append(name)
        return lambda *_args, **_kwargs: _ANSWERS[name]
