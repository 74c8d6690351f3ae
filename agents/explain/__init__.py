"""``tallystream explain``: why a ledger line is what it is: its amount, its rate, its chain and its sources."""
