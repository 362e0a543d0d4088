"""Routes that belong to no dialect: signed files, the verifier, decisions, the log, health and metrics."""
