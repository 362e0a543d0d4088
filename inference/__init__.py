"""An order in, pixels out. Knows no tenant, no policy and no file format."""
