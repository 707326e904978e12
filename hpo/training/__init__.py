"""One fit of one network: its configuration, loss, optimizer and epochs."""
