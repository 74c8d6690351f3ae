"""The MySQL source: the MariaDB source, with what MySQL does in another way."""
