"""The zoo: sizes, drawings, gradients."""
