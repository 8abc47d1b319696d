"""Pages of names: the one pure function behind all lists that a guest answers."""
import bisect


def page(names, limit=None, marker=None, include_marker=False):
    """A page of ``names`` in the order of code points: (names, marker of the next page or None).

    limit: most names on the page, None for all; marker: the page begins behind it, or at it with ``include_marker``.
    """
    ordered = sorted(names)
    start = 0
    if marker is not None:
        start = (bisect.bisect_left if include_marker else bisect.bisect_right)(ordered, marker)
    end = len(ordered) if limit is None else start + int(limit)
    chosen = ordered[start:end]
    return chosen, chosen[-1] if chosen and end < len(ordered) else None
