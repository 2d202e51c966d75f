"""Accuracy and latency of released and user-made models, in records that can be compared."""
