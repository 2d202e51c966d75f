"""Host side: make model files for the device, and refuse to write one that was not verified."""
