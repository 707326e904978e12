"""Write the best configuration of a study to a file, and load its network from the file."""
