"""What a session of requests' has and ours has not: each name says where it is.

Decides: nothing but the words. A name that would be accepted in silence and never be called is an error.
Knows: which names of requests' sessions are in `keeppool.requests` alone.
"""

from __future__ import annotations

from abc import ABCMeta
from itertools import takewhile
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from keeppool.checks import Spelled

#: What only a session of `keeppool.requests` has.
_ELSEWHERE: Final = frozenset(
    (
        *("adapters", "mount", "get_adapter", "hooks", "merge_environment_settings", "resolve_redirects"),
        *("get_redirect_target", "should_strip_auth", "rebuild_method", "rebuild_auth", "rebuild_proxies"),
    )
)
#: What there is here too, and is called by the program alone: a method of its own would never be.
_NOT_CALLED: Final = ("request", "prepare_request", "send")

#: What looks like a setting of a session, and is none: arguments, and names of httpx's.
_LIKE_SETTINGS: Final = frozenset(
    (
        *("limits", "timeout", "hosts", "defaults", "resolver", "fleet", "config", "on_event", "proxy"),
        *("event_hooks", "mounts"),
    )
)

_REFUSED: Final = (*_NOT_CALLED, *sorted(_ELSEWHERE))


class Switch(int):
    """True or False, and in httpx the name of a method: called, it says what to write."""

    def __call__(self, *_: object, **__: object) -> object:  # noqa: D102  # The class says it.
        text = "session.stream is a setting here, as in requests: write session.get(url, stream=True), or"
        raise TypeError(f"{text} session.request(method, url, stream=True), which may stand behind with and async with")

    def __repr__(self) -> str:
        return repr(bool(self))


class _Watched(Spelled, ABCMeta):
    """The type of a class of sessions that may get methods, or be asked for some, after it was made."""

    if not TYPE_CHECKING:  # Or every name would pass for one of the class, and every argument for one of its own.

        def __setattr__(cls, name: str, value: object) -> None:
            if name in _REFUSED and not cls._may_override:
                raise cls._never_called(name)
            super().__setattr__(name, value)

        def __delattr__(cls, name: str) -> None:
            # What patches a class takes back what it could not set, and this is the error that is seen.
            if name in _REFUSED and not cls._may_override:
                raise cls._never_called(name)
            super().__delattr__(name)

        def __getattr__(cls, name: str) -> object:
            text = f"type object {cls.__name__!r} has no attribute {name!r}"
            if name in _ELSEWHERE:
                text = f"{text}: {cls._advice()}"
            raise AttributeError(text, name=name, obj=cls)

        def __call__(cls, *arguments: Any, **named: Any) -> Any:
            # Mixins are classes like any other: what is set on one later is only found here.
            cls._refuse_own()
            return super().__call__(*arguments, **named)

    def _advice_on(cls, name: str) -> str:
        # Imported late, as it serves mistakes alone.
        from keeppool.client.misspelt import advice

        return advice(name, cls.__signature__.parameters)


class OwnInterface(metaclass=_Watched):
    """A session whose methods are called by programs, and not overridden by them.

    Not seen is a method that is set on a mixin after the session was made: looking would be due at each request.
    """

    #: The session of requests' kind that does what this one refuses.
    _requests_kind: ClassVar[str]
    stream: bool = cast("bool", Switch(False))
    #: The methods of `_NOT_CALLED`, in a class that has been made; set where a class may have others.
    _may_override: ClassVar[bool] = False

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls._refuse_own()

    @classmethod
    def _refuse_own(cls) -> None:
        """Refuse what a class has in the place of a session's method.

        A class that stands behind the session among the bases puts nothing in its place, in requests neither: what it
        has under one of these names is its own affair.
        """
        if cls._may_override:
            return
        for base in takewhile(lambda base: not base.__module__.startswith("keeppool.client."), cls.__mro__):
            for name in _REFUSED:
                if name in vars(base):
                    raise cls._never_called(name)

    def __setattr__(self, name: str, value: object) -> None:
        # A program's own class may have attributes of these names, and so may what is written for requests.
        if name in _LIKE_SETTINGS and type(self).__module__.startswith("keeppool.client."):
            from keeppool.client.misspelt import never_seen

            raise AttributeError(never_seen(self, name), name=name, obj=self)
        if name in _REFUSED and not self._may_override and not (name in _ELSEWHERE and hasattr(type(self), name)):
            raise AttributeError(f"{name!r} would never be looked at: {self._advice()}", name=name, obj=self)
        super().__setattr__(name, value)

    if not TYPE_CHECKING:  # Or every name would pass for one of these.

        def __getattr__(self, name: str) -> object:
            if hasattr(type(self), name) or name.startswith("_"):
                return object.__getattribute__(self, name)  # Raises, in Python's own words or a property's.
            from keeppool.client.misspelt import elsewhere

            advice = f": {self._advice()}" if name in _ELSEWHERE else elsewhere(self, name)
            text = f"{type(self).__name__!r} object has no attribute {name!r}{advice}"
            raise AttributeError(text, name=name, obj=self)

    @classmethod
    def _never_called(cls, name: str) -> AttributeError:
        text = f"{cls.__name__}.{name} would never be called by the session: {cls._advice()}"
        return AttributeError(text, name=name, obj=cls)

    @classmethod
    def _advice(cls) -> str:
        return f"{cls._requests_kind} has it, with mounting, hooks and methods to override, as in requests"
