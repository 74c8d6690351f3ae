"""A source under load and under fault: what breaks it, what watches it, and what judges it."""
