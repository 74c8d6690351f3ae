"""What the source asks of a PostgreSQL server: connections, catalog, publications, slots."""
