"""The compute hosts of the cloud and the instances on them, for administrators."""
