"""Federated learning, the rival: clients train and send updates of a model, in rounds, and keep their images.

An algorithm is a pair of pure functions, `init` and `round` (`algorithm`). How the clients of a round are computed, in
turn or side by side, is the executor's matter (`executor`); the numbers are the same.
"""
