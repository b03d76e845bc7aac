"""Clients, server and their rivals in one process, compared."""
