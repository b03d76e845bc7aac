"""Files in formats of others, read with suspicion and written so that the same values give the same bytes."""
