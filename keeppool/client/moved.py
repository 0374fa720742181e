"""What a session of requests' has and ours has not: each name says where it is.

Decides: nothing but the words. A name that would be accepted in silence and never be called is an error.
Knows: which names of requests' sessions are in `keeppool.requests` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

#: What only a session of `keeppool.requests` has.
_ELSEWHERE: Final = frozenset(
    (
        *("adapters", "mount", "get_adapter", "hooks", "merge_environment_settings", "resolve_redirects"),
        *("get_redirect_target", "should_strip_auth", "rebuild_method", "rebuild_auth", "rebuild_proxies"),
    )
)
#: What there is here too, and is called by the program alone: a method of its own would never be.
_NOT_CALLED: Final = ("request", "prepare_request", "send")


class OwnInterface:
    """A session whose methods are called by programs, and not overridden by them."""

    #: The session of requests' kind that does what this one refuses.
    _requests_kind: ClassVar[str]
    #: The methods of `_NOT_CALLED`, in a class that has been made; set where a class may have others.
    _may_override: ClassVar[bool] = False

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if cls._may_override:
            return
        for name in (*_NOT_CALLED, *sorted(_ELSEWHERE)):
            where = next((base for base in cls.__mro__ if name in vars(base)), None)
            if where is not None and not where.__module__.startswith("keeppool.client."):
                raise AttributeError(f"{cls.__name__}.{name} would never be called: {cls._advice()}")

    def __setattr__(self, name: str, value: object) -> None:
        if (name in _ELSEWHERE or name in _NOT_CALLED) and not self._may_override:
            raise AttributeError(f"{name!r} would never be looked at: {self._advice()}", name=name, obj=self)
        super().__setattr__(name, value)

    if not TYPE_CHECKING:  # Or every name would pass for one of these.

        def __getattr__(self, name: str) -> object:
            if name not in _ELSEWHERE or hasattr(type(self), name):
                return object.__getattribute__(self, name)  # Raises, in Python's own words or a property's.
            text = f"{type(self).__name__!r} object has no attribute {name!r}: {self._advice()}"
            raise AttributeError(text, name=name, obj=self)

    @classmethod
    def _advice(cls) -> str:
        return f"{cls._requests_kind} has it, with mounting, hooks and methods to override, as in requests"
