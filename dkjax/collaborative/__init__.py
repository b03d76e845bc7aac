"""Clients that encrypt, a server that trains, and the simulation of both in one process."""

from dkjax.collaborative.client import Client, Upload, upload
from dkjax.collaborative.server import Server
from dkjax.collaborative.serving import examine, serve
from dkjax.collaborative.simulation import simulate

__all__ = ["Client", "Server", "Upload", "examine", "serve", "simulate", "upload"]
