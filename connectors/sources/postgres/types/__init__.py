"""PostgreSQL's types: text on the wire to Avro."""
