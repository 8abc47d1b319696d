"""How an attack is written down: a function with what it tries as its docstring, and what must come of it."""
from collections.abc import Callable
from dataclasses import dataclass

CAUSES = {
    "url": "texts from guests in URLs", "ids": "ids of others in requests", "bus": "messages trusted too early",
    "broker": "a broker without limits", "names": "queues found by part of a name", "log": "forged log lines",
    "reach": "ports, files and credentials", "edge": "slow, large and odd requests", "token": "tokens and roles",
}


@dataclass(frozen=True)
class Attack:
    """name: group.what; cause: key of CAUSES; tries: sentence; expected: the refusal; events: names of security
    events, one of which the services must report (none: no event belongs to it); long: left out of a short run;
    run(stage): carries it out, returns the evidence of the refusal; raises Broken or Weak.
    """

    name: str
    cause: str
    tries: str
    expected: str
    events: tuple
    long: bool
    run: Callable


def register(attacks):
    """Return a decorator with the fields of an Attack that appends to ``attacks``; the docstring becomes ``tries``."""
    def decorator(name, cause, expected, events=(), long=False):
        def keep(function):
            tries = " ".join(function.__doc__.split())
            attacks.append(Attack(name, cause, tries, expected, tuple(events), long, function))
            return function
        return keep
    return decorator
