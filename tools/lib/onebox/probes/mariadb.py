"""The probe of MariaDB."""
from onebox.probes import mysql_family


class Probe(mysql_family.Probe):
    """See the base."""

    program = "mariadbd"
