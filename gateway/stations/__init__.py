"""What `gateway/pipeline.py` calls, in its order."""
