"""A captured table: the rules of its columns, its schema, and its encoders."""
