"""The edges of Tallystream: sources that read databases, sinks that write them, vendor APIs."""
