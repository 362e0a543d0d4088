"""Training and measurement of the pictogram model. Nothing here runs in a gateway."""
