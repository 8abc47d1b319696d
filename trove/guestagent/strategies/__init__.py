"""Exchangeable ways of doing things inside a guest, chosen by options."""
