"""A worker process: flows, their lanes, reference tables, health and metrics."""
