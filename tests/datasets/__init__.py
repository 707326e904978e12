"""Data sets, their download and their augmentation."""
