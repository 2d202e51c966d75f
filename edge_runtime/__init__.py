"""On-device runtime of edge-fer: capture, face detection, int8 classification, results.

Imports neither TensorFlow nor Keras; heavy modules are imported where they are used.
"""
