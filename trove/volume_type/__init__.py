"""The volume types of the cloud, as users choose one for their data."""
