"""A pytest plugin: whoever imports `requests`, or a part of it, gets `keeppool.requests` and its part of that name.

What the suite's own files import from requests' inside only to get going is borrowed from the real one, and listed
here: a test that is about a borrowed name says nothing of keeppool. Everything else that keeppool.requests has not
is missing, as it would be for its users.
"""

import importlib
import pkgutil
import sys

import requests

#: Parts that are requests' own tools.
BORROWED_PARTS = ("_internal_utils", "compat", "help", "packages")
#: Names that test modules import at their top.
BORROWED_NAMES = {
    "auth": ("_basic_auth_str",),
    "cookies": ("morsel_to_cookie",),
    "models": ("urlencode",),
    "sessions": ("SessionRedirectMixin",),
    "structures": ("LookupDict",),
    "utils": (
        "_parse_content_type_header",
        "address_in_network",
        "dotted_netmask",
        "extract_zipped_paths",
        "get_encodings_from_content",
        "guess_filename",
        "guess_json_utf",
        "is_ipv4_address",
        "is_valid_cidr",
        "iter_slices",
        "parse_dict_header",
        "prepend_scheme_if_needed",
        "requote_uri",
        "set_environ",
        "should_bypass_proxies",
        "to_key_val_list",
        "to_native_string",
        "unquote_header_value",
        "unquote_unreserved",
        "urldefragauth",
    ),
}


def put_in_place():
    for name in BORROWED_PARTS:
        importlib.import_module(f"requests.{name}")
    real = {name: module for name, module in sys.modules.items() if name == "requests" or name.startswith("requests.")}
    ours = importlib.import_module("keeppool.requests")
    for part in pkgutil.walk_packages(ours.__path__, "keeppool.requests."):
        importlib.import_module(part.name)
    for name in real:
        del sys.modules[name]
    sys.modules["requests"] = ours
    for name, module in list(sys.modules.items()):
        if name.startswith("keeppool.requests."):
            sys.modules[name.removeprefix("keeppool.")] = module
    borrow(real, ours)


def borrow(real, ours):
    for part in BORROWED_PARTS:
        sys.modules[f"requests.{part}"] = real[f"requests.{part}"]
        setattr(ours, part, real[f"requests.{part}"])
    for part, names in BORROWED_NAMES.items():
        module = sys.modules[f"requests.{part}"]
        for name in names:
            if not hasattr(module, name):
                setattr(module, name, getattr(real[f"requests.{part}"], name))


assert requests.__name__ == "requests", "this plugin has to come before anything that replaces requests"
put_in_place()
