"""Training and measurement of the semantic prompt classifier. Nothing here runs in a gateway."""
