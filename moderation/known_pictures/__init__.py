"""Lists of known pictures: their file formats, and the PDQ hash."""
