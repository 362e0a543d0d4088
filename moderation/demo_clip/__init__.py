"""The small open_clip model that knows pictograms: what the demo looks at its own pictures with."""
