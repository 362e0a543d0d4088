"""Measures watermark schemes against what happens to pictures, and writes what was found."""
