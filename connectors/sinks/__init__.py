"""Sinks: published topics into stores that people and programs query, each record exactly once.

A sink keeps its Kafka positions in the store it writes to and moves them in the same transaction as
the data. It therefore assigns its partitions itself and never commits to a consumer group.
"""
