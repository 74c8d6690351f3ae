"""``tallystream preview``: what a change would do to billing, before anybody makes it."""
