"""The guest agent, which runs inside every instance, and (``api``, ``db``) what the control plane knows of it."""
