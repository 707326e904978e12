"""Starting and stopping child processes, and a pool of them."""
