"""Tell: pages that can be run again."""
