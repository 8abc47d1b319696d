"""Database-as-a-Service control plane: API, task manager, conductor and guest agent."""
