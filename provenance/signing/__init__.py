"""Signatures under manifests: keys, certificates, time-stamps, and signers elsewhere."""
