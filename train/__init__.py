"""Training of Keras models on labelled faces: data, recipes, loop and reports."""
