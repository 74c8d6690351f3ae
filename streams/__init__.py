"""The runtime: everything that moves records exactly once, and no business rule."""
