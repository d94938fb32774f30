"""Clean: segment images."""
