"""trove-guestagent, the program of the agent: makes its process small before it imports what it runs."""
from trove.guestagent.common import lean


def main():
    """Serve until SIGTERM or SIGINT. Returns the exit code."""
    lean.return_freed_memory()
    lean.leave_out_libraries()
    from trove.cmd import guest  # after that
    lean.let_in_formats()
    return guest.main()


if __name__ == "__main__":
    main()
