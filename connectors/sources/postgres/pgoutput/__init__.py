"""The messages of PostgreSQL's logical decoding plugin, from bytes to transactions. No I/O."""
