"""What an image looks like: fingerprints, landmarks, and the comparison of a copy with its original."""
