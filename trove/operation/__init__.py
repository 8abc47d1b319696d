"""Durable operations: long-running work whose progress lives in the infrastructure database."""
