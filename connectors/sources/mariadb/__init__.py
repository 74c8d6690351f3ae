"""The MariaDB source: the binary log into Debezium-compatible topics, exactly once."""
