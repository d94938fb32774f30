"""Show: viewers, figures and HTML."""

from integrate.show import plot

__all__ = ["plot"]
