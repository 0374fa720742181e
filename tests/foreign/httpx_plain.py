"""A pytest plugin for httpx's own suite, with or without our transports.

The suite shows how a program brings its own guess of an encoding, by chardet. Another guesser of the same interface,
which our tests have already, serves as well; requests would change its ways if chardet itself were installed.
"""

import sys

import charset_normalizer

sys.modules.setdefault("chardet", charset_normalizer)
