"""The probe of MySQL."""
from onebox.probes import mysql_family


class Probe(mysql_family.Probe):
    """See the base."""

    program = "mysqld"
