"""``tallystream bench``: what the flows of this layer do a second, next to a plain Faust program.

Every benchmark runs real processes on a real broker, checks that the results are right, and says on
which machine and versions it ran.
"""
