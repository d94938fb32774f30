"""Measure: numbers from images."""
