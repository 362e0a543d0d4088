"""Repeated attempts at a refused prompt: they are counted, answered more strictly, and end in a suspension."""
