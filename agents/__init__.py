"""What is computed, one folder a flow: pure logic in its own modules and a thin agent at the edge."""
