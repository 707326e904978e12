"""The errors of a configuration: validation error by k-fold cross-validation, and test error."""
