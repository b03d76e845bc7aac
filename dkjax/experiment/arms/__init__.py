"""The arms of a comparison: who holds which key, for how long, and how the test images are encrypted.

A kind of arm is one file with a value `KIND` and one line in `registry`. A test view is the test set as a user of the
trained model might send it: `plain`, under fresh keys of its own for every image (`fresh_key`), or under the key that
encrypted the training images (`same_key`), where such a key exists.
"""
