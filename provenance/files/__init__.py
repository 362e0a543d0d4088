"""Image files from the outside and inside: codecs, headers, containers."""
