"""For the process that workers are forked from, which imports this first.

A SIGTERM to the whole process group, as a service manager sends it, must not end that process while its workers finish
what they have in hand. It ends when the command that started it does. A worker has a handler of its own.
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
