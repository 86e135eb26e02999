"""What the wrappers of both tracks share."""
