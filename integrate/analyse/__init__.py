"""Ask: associations at the level where the evidence is."""
