"""Measures our PostgreSQL source beside Debezium's connector, on the same servers in one run."""
