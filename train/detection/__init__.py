"""Training of face detectors: recipes of task `detect`, scenes, targets, loss and loop."""
