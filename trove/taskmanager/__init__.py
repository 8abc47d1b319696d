"""The task manager: the only process that talks to the cloud, and the runner of operations."""
