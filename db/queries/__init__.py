"""What screens, terminal and worker read from the database, as plain rows."""
