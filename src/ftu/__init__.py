"""Segmentation of functional tissue units in histology images.

The layers, imports go down only: pixels and tables without torch; models, losses and augmentation;
training and inference loops. Parameters and paths are read by the stage scripts alone.
"""
