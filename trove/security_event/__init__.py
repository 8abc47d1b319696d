"""Security events of the control plane's processes: kept in the infrastructure database and sent as notifications."""
