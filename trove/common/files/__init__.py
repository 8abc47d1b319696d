"""The forms of database servers' configuration files: pure functions between text and settings.

A card (``trove/conf/datastores``) declares the form of its datastore's files. The control plane reads the settings of a
rendered template with it, and the agent writes the layers of overrides.
"""
