"""Notifications for billing and monitoring: what is told, the outbox in our database, and who sends it to the bus."""
