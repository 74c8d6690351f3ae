"""What is computed, one folder a concern: pure logic in its own modules and a thin agent at the edge."""
