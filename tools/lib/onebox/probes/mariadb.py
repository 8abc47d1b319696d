"""The probe of MariaDB."""
from onebox.probes.mysql_family import Probe

__all__ = ["Probe"]
