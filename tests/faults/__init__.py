"""Faults that appliances meet, put into the running program."""
