"""Closing the gap after a slot was lost: what the topics lack, from the tables."""
