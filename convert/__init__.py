"""Conversion of trained Keras models to int8 TensorFlow Lite and ONNX, behind a parity gate."""
