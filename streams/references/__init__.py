"""Reference tables: few rows that everybody needs, read in full by every worker, with a change feed."""
