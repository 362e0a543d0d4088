"""Linear probes: their file, their training pictures, their training and their report."""
