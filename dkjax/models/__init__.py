"""The Vision Transformer that the server trains, and its adaptation to images under one known key."""
