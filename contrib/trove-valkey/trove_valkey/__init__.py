"""Valkey as a datastore of Trove. This module imports nothing: the control plane needs the card only."""
