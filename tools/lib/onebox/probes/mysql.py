"""The probe of MySQL."""
from onebox.probes.mysql_family import Probe

__all__ = ["Probe"]
