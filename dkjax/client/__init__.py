"""What a client does: it encrypts its images and hands them over."""
