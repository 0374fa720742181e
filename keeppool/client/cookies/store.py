"""Where a jar's cookies lie: found by domain, counted, in the order in which they came, and bounded.

Decides: which cookie goes where a server has set too many, when one that has ended is taken out.
Knows: cookies and their domains. The nested dictionary is http.cookiejar's own, because programs look into it.
Does not know: requests, policies, locks.

No step costs more than the labels of a name and the logarithm of the jar, however many cookies lie here.

Source: RFC 6265bis §5.7 (evicting), §6.1 (limits).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from http.cookiejar import Cookie
from typing import Final

#: Cookies that servers may set for one domain. Chrome and Firefox hold 180; RFC 6265bis §6.1 asks for 50 at least.
MOST_OF_A_DOMAIN: Final = 180
#: Cookies that servers may set in all. Chrome holds 3300 and Firefox 3000, for one person; a crawler meets in an hour
#: the sites of a year. At 1 KiB each, attributes and all, they take about 50 MB.
MOST: Final = 50_000
#: Cookies that have ended which one request takes out: a thousand that end together are no pause for anybody.
MOST_ENDED_AT_ONCE: Final = 64
#: Entries of the heap of ends that nothing is done about.
_SPARE: Final = 64

#: Domain with its dot, path, name: by these one cookie is the next one's successor (RFC 6265bis §5.7, step 23).
Key = tuple[str, str, str]


class Store:
    """The cookies of a jar.

    Args:
        nested: Cookies by domain, path and name.
        received: Those of them that servers have set, least recently used first. Others are never evicted.
    """

    def __init__(self, nested: dict[str, dict[str, dict[str, Cookie]]], received: Iterable[Key] = ()) -> None:
        self.nested: dict[str, dict[str, dict[str, Cookie]]] = {}
        self.count = 0
        self._made = 0
        self._order: dict[Key, int] = {}
        self._ends: list[tuple[int, int, Key]] = []
        #: Secure cookies, and how many there are by each end of their domains, by name and path.
        self._secure: set[Key] = set()
        self._secure_below: dict[Key, int] = {}
        #: What servers have set, by domain without dot; domains and cookies least recently used first.
        self._received: OrderedDict[str, OrderedDict[Key, None]] = OrderedDict()
        self._received_count = 0
        for by_path in nested.values():
            for by_name in by_path.values():
                for cookie in by_name.values():
                    self.put(cookie)
        for key in received:
            self.receive(key)

    def find(self, key: Key) -> Cookie | None:
        """Give the cookie that lies there."""
        domain, path, name = key
        return self.nested.get(domain, {}).get(path, {}).get(name)

    def put(self, cookie: Cookie) -> None:
        """Keep a cookie, in the place of its predecessor and with the age of that one."""
        key = domain, path, name = key_of(cookie)
        if domain not in self.nested:
            self.nested[domain] = {}
        by_name = self.nested[domain].setdefault(path, {})
        self._made += 1
        if name not in by_name:
            self.count += 1
            self._order[key] = self._made
        by_name[name] = cookie
        self._forget_secure(key)
        if cookie.secure:
            self._secure.add(key)
            for at in _places_of(key):
                self._secure_below[at] = self._secure_below.get(at, 0) + 1
        if cookie.expires is not None:
            heapq.heappush(self._ends, (cookie.expires, self._made, key))
            if len(self._ends) > 2 * self.count + _SPARE:
                self._forget_old_ends()

    def drop(self, key: Key) -> Cookie | None:
        """Take a cookie out, and give it; `None` if there is none."""
        domain, path, name = key
        by_path = self.nested.get(domain, {})
        cookie = by_path.get(path, {}).pop(name, None)
        if cookie is None:
            return None
        self.count -= 1
        del self._order[key]
        self._forget_secure(key)
        self._forget_received(key)
        if not by_path[path]:
            del by_path[path]
        if not by_path:
            del self.nested[domain]
        return cookie

    def order_of(self, cookie: Cookie) -> int:
        """Tell the place of a cookie among all by their age, the oldest first."""
        return self._order.get(key_of(cookie), 0)

    def has_secure_below(self, domain: str, name: str, path: str) -> bool:
        """Tell whether a domain, or one that ends in it, has a Secure cookie of that name for a path or a folder above.

        At the cost of the path's length, however many such cookies there are: a server could set them to be in the way.
        """
        return any((domain, folder, name) in self._secure_below for folder in _folders_of(path))

    def receive(self, key: Key) -> None:
        """Note that a server has set a cookie that lies here, and evict what is one too many for its domain or in all.

        Source: RFC 6265bis §5.7: of a domain that has too many the cookies that are not Secure go first, so that nobody
            on the way can crowd out those that are.
        """
        self.use(key, is_new=True)
        of_domain = self._received[key[0].removeprefix(".")]
        if len(of_domain) > MOST_OF_A_DOMAIN:
            self._evict(of_domain)
        if self._received_count > MOST:
            self._evict(next(iter(self._received.values())))

    def use(self, key: Key, *, is_new: bool = False) -> None:
        """Note that a cookie is used, if it is one that a server has set."""
        domain = key[0].removeprefix(".")
        of_domain = self._received.get(domain)
        if of_domain is None or key not in of_domain:
            if not is_new:
                return
            of_domain = self._received.setdefault(domain, OrderedDict())
            of_domain[key] = None
            self._received_count += 1
        of_domain.move_to_end(key)
        self._received.move_to_end(domain)

    def received(self) -> list[Key]:
        """List what servers have set, least recently used first."""
        return [key for of_domain in self._received.values() for key in of_domain]

    def take_out_ended(self, now: int) -> None:
        """Take out some of the cookies that have ended, if there are any."""
        for _ in range(MOST_ENDED_AT_ONCE):
            if not self._ends or self._ends[0][0] > now:
                return
            _, _, key = heapq.heappop(self._ends)
            cookie = self.find(key)
            if cookie is not None and cookie.is_expired(now):
                self.drop(key)

    def _evict(self, of_domain: OrderedDict[Key, None]) -> None:
        least = next(iter(of_domain))
        for key in of_domain:
            cookie = self.find(key)
            if cookie is not None and not cookie.secure:
                least = key
                break
        self.drop(least)

    def _forget_secure(self, key: Key) -> None:
        # By what was noted: a program may have changed the cookie meanwhile.
        if key not in self._secure:
            return
        self._secure.remove(key)
        for at in _places_of(key):
            self._secure_below[at] -= 1
            if not self._secure_below[at]:
                del self._secure_below[at]

    def _forget_received(self, key: Key) -> None:
        domain = key[0].removeprefix(".")
        of_domain = self._received.get(domain)
        if of_domain is None or key not in of_domain:
            return
        del of_domain[key]
        self._received_count -= 1
        if not of_domain:
            del self._received[domain]

    def _forget_old_ends(self) -> None:
        """Make the heap anew: a cookie that is set again and again leaves an end each time."""
        latest = {key: (end, made, key) for end, made, key in sorted(self._ends, key=lambda entry: entry[1])}
        self._ends = [entry for key, entry in latest.items() if self.find(key) is not None]
        heapq.heapify(self._ends)


def key_of(cookie: Cookie) -> Key:
    """Tell where a cookie lies."""
    return cookie.domain, cookie.path, cookie.name


def _places_of(key: Key) -> list[Key]:
    """List a cookie's domain without its dot, and the ends of its name, each with path and name."""
    domain, path, name = key
    bare = domain.removeprefix(".")
    ends = [bare, *(bare[place + 1 :] for place, character in enumerate(bare) if character == ".")]
    return [(end, path, name) for end in ends]


def _folders_of(path: str) -> list[str]:
    """List the paths that a cookie may have that is sent to this one: itself and the folders above it."""
    slashes = [place for place, character in enumerate(path) if character == "/"]
    return [path, *(path[: place + 1] for place in slashes), *(path[:place] for place in slashes)]
