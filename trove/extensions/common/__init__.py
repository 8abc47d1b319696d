"""What is the same for the databases, users and root of every datastore."""
