"""The Vision Transformer that the server trains, its weights in and out, and its adaptation to images under one key."""
