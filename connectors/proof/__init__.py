"""The proof: what a running system says, held against what the oracle computes from the sources."""
