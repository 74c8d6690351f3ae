"""``source check`` for PostgreSQL."""
