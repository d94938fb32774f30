"""Show: figures and HTML."""
