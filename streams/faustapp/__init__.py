"""Faust with chunk delivery: what we override of it, and nothing more.

Faust keeps the application, agents, group membership, assignment and rebalancing. Its per-message
delivery, acknowledgement bookkeeping, tables and recovery are not used: lanes are exact instead.
"""
