"""Training and measurement of the small CLIP. Nothing here runs in a gateway."""
