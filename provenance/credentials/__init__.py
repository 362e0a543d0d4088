"""C2PA manifests: how they are written, stored, read and judged."""
