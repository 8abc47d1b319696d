"""How the logs of a server are archived, and replayed to a point in time."""
