"""Verification of files against our credentials, watermark and records, and of our rows against the log."""
