"""Services of the guest's operating system, used by every datastore."""
