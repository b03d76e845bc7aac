"""What an adversary gets back from encrypted images."""
