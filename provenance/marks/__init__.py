"""Invisible watermarks: ours, other libraries', and those of other systems."""
