"""Open: one file per family of formats, one base class."""
