"""Place: one physical space per subject."""
