"""The demo: a firm, its three systems, the whole pipeline, and an oracle that checks the result."""
