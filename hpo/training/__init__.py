"""The training of one network: its configuration, loss, optimizer and epochs."""
