"""CCC: the pure function, the loss, the streaming metric."""
