"""Multimodal integration: imaging, spatial omics and clinical tables of the same people, measured and joined."""

import lazy_loader as _lazy

# One list of names, in __init__.pyi; each is imported when it is first used.
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

__version__ = "0.1.0"
