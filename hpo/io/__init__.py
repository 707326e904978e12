"""Files, the working folder and the standard streams, used so that no data are lost."""
