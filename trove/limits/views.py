"""Limits as clients see them (rest-api 3.3)."""


def absolute(quotas):
    """The element of the quotas, {resource: limit}."""
    return {"verb": "ABSOLUTE", **{f"max_{resource}": limit for resource, limit in sorted(quotas.items())}}


def rate(limit, remaining, available):
    """The element of one RateLimit: remaining requests, and the UTC time when one more is allowed."""
    return {"verb": limit.verb, "uri": limit.uri, "regex": limit.regex, "value": limit.value, "remaining": remaining,
            "unit": "MINUTE", "nextAvailable": available.strftime("%Y-%m-%dT%H:%M:%SZ")}
