"""Runs a Python program in a fork: `python -I -S in_fork.py NAME ARGUMENTS`, as `python ARGUMENTS`.

This process is that program to whoever starts it: it passes on its files, working directory and
environment and the signals it gets, and ends as the program does.
"""

import json
import os
import signal
import socket
import sys

client = socket.socket(socket.AF_UNIX)
# in Linux's abstract name space: there is no file to clean up
client.connect(f"\0{sys.argv[1]}")
signal.signal(signal.SIGINT, lambda number, _: client.send(bytes([number])))
signal.signal(signal.SIGTERM, lambda number, _: client.send(bytes([number])))
request = {"arguments": sys.argv[2:], "cwd": os.getcwd(), "environment": dict(os.environ)}
socket.send_fds(client, [b"0"], [0, 1, 2])
client.sendall(json.dumps(request).encode() + b"\n")
for file in (0, 1, 2):
    # whoever reads is to see when the program closes them
    os.close(file)
status = os.waitstatus_to_exitcode(int(client.recv(16)))
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
    os.kill(os.getpid(), -status)
os._exit(status)
