"""The parts of the tile watermark: key material, code, pattern, embedding, and the way back."""
