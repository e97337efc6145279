"""
Tools whose connections the parent has accepted, and hands over to the worker that has their call.

The parent reads of them only which call they want, without taking it from the socket: the worker serves a tool as if it
had accepted the connection itself, and no audio goes through the parent.
"""

import asyncio
import os
import socket

MAX_NAME = 1024


def hand_over(tools: socket.socket, connection: socket.socket, call: str) -> bool:
    """Hand a connection for ``call``, empty for none, to the other end of ``tools``; return whether it has room."""
    try:
        # At least one byte goes with a descriptor, and what is sent together arrives together.
        socket.send_fds(tools, [f"{call}\n".encode(errors="surrogatepass")], [connection.fileno()])
    except OSError:
        return False
    return True


class HandedTools(socket.socket):
    """
    The end at which tools arrive, in place of a listening socket: for asyncio, ``accept`` returns a connection.

    The address of each is the call that its tool wants.
    """

    def listen(self, backlog: int = 0, /) -> None:
        """Do nothing: the parent has accepted the connections."""

    def accept(self) -> tuple[socket.socket, str]:
        name, descriptors, _, _ = socket.recv_fds(self, MAX_NAME, 1)
        if not name:
            # The parent is gone: without it no tool comes, and this end stays readable.
            asyncio.get_running_loop().remove_reader(self)
        if not descriptors:
            # A process that may not open more files gets the name only, and its tool finds the connection closed.
            raise BlockingIOError
        os.set_inheritable(descriptors[0], False)
        return socket.socket(fileno=descriptors[0]), name.decode(errors="surrogatepass").removesuffix("\n")
