"""The demonstration: a stranger's first minute, with every claim checked."""
