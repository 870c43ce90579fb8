"""Runs Phoenix, in Phoenix' own environment, with its gRPC receiver on loopback.

Phoenix binds that one to every address, whatever PHOENIX_HOST says; spans may hold what people
said, so nobody else on the network is to read or write there.
"""

import grpc.aio
from phoenix.server.main import main

_make_server = grpc.aio.server


def _server_on_loopback(*args: object, **kwargs: object) -> grpc.aio.Server:
    server = _make_server(*args, **kwargs)
    bind = server.add_insecure_port
    server.add_insecure_port = lambda address: bind(address.replace("[::]", "127.0.0.1"))
    return server


grpc.aio.server = _server_on_loopback
main()
