"""What the tests of the urllib3 drop-ins have in common: scripts for servers."""

from keeppool.testing import RawConnection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#: A connection that serves as long as it is wanted.
SERVE = [*[RawConnection.read_request, OK] * 20, RawConnection.read_until_closed]


def answer_once_then(*last):
    """Answer one request, read another one, and do something else."""
    return [RawConnection.read_request, OK, RawConnection.read_request, *last]
