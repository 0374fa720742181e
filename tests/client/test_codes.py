"""Status codes by name: all that requests knows, with its values, and those of the standard library."""

from __future__ import annotations

import pickle
from http import HTTPStatus

import pytest
import requests

from keeppool.client.response.codes import codes

NAMES_OF_REQUESTS = sorted(vars(requests.codes).keys() - {"name"})
#: requests gives these names to other codes than the registry does.
OTHERWISE_IN_REQUESTS = {"REQUEST_URI_TOO_LONG"}


@pytest.mark.parametrize("name", NAMES_OF_REQUESTS)
def test_every_name_of_requests_means_the_same_here(name):
    assert codes[name] == getattr(codes, name) == codes.get(name) == requests.codes[name]


@pytest.mark.parametrize("name", sorted(HTTPStatus.__members__.keys() - OTHERWISE_IN_REQUESTS))
def test_every_name_of_the_standard_library_is_known_in_both_cases(name):
    assert codes[name] == codes[name.lower()] == HTTPStatus[name]


def test_an_unknown_name_is_an_error_as_an_attribute_and_none_as_an_item():
    with pytest.raises(AttributeError, match="no_such_code"):
        _ = codes.no_such_code
    assert codes["no_such_code"] is None
    assert codes.get("no_such_code") is None
    assert codes.get("no_such_code", 7) == 7


def test_a_code_is_a_plain_number_that_compares_and_prints_as_one():
    assert type(codes.ok) is int
    assert f"{codes.teapot}" == "418"


def test_names_can_be_looked_for_and_gone_through():
    assert "okay" in codes
    assert "nonsense" not in codes
    assert set(NAMES_OF_REQUESTS) <= set(codes)
    assert "temporary_redirect" in dir(codes)
    assert "names" not in codes
    assert "\\O/" not in codes


def test_it_survives_pickling():
    assert pickle.loads(pickle.dumps(codes)).not_found == 404
