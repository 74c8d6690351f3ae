"""Lanes: each (stage, partition) processes its records in order and exactly once.

A lane's slice is one Kafka transaction: outputs, state changes and the cursor of what was applied.
"""
