"""What cancellations, resizes and outages do to each kind of pool."""
