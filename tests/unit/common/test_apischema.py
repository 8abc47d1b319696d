"""Bodies: what fits the shared shapes, and how a refusal names the place and the reason."""
import pytest

from trove.common import apischema, exception


def fits(schema, value):
    return not list(apischema.compiled(schema).iter_errors(value))


@pytest.mark.parametrize(("schema", "right", "wrong"), [
    (apischema.text255, ["a", "ü1", "x" * 255, "a b"], ["", "--", "x" * 256, "a\n", "a\0", 1, None]),
    (apischema.uuid, ["0123abCD-0000-1111-2222-333344445555"], ["x", "0123abcd000011112222333344445555", "",
                                                               "0123abcd-0000-1111-2222-333344445555\n"]),
    (apischema.uuid_ref, ["0123abcd-0000-1111-2222-333344445555", "http://h/v1/0123abcd-0000-1111-2222-333344445555"],
     ["http://h/", "0123abcd", ""]),
    (apischema.size, [1, "1", 1.0, 10**30, "9" * 40], [0, -1, "", "x", "9" * 41, 1.5, True, None, "1\n"]),
    (apischema.flavor_ref, [1, "1", "http://h/flavors/1"], ["", -1, 1.5, None, []]),
    (apischema.host, ["%", "10.0.%.%", "localhost", "a-b.c"], ["", "a b", "'", "a;b"]),
])
def test_shared_shapes(schema, right, wrong):
    assert [value for value in right if not fits(schema, value)] == []
    assert [value for value in wrong if fits(schema, value)] == []


def test_a_refusal_lists_path_and_reason_of_each_bad_element():
    schema = apischema.compiled(apischema.wrapped("instance", {"type": "object", "properties": {
        "name": apischema.text255, "nics": {"type": "array", "items": apischema.uuid}}}))
    with pytest.raises(exception.ValidationError) as refused:
        apischema.check(schema, {"instance": {"name": 7, "nics": ["x"]}})
    assert str(refused.value) == ("Validation error: instance.name: 7 is not of type 'string'; instance.nics[0]: 'x' "
                                  f"does not match {apischema.uuid['pattern']!r}")
    with pytest.raises(exception.ValidationError, match="body: 'instance' is a required property"):
        apischema.check(schema, {})


def test_a_refusal_never_shows_a_password():
    schema = apischema.compiled({"type": "object", "properties": {"password": apischema.password}})
    with pytest.raises(exception.ValidationError) as refused:
        apischema.check(schema, {"password": ["hunter2"]})
    assert "hunter2" not in str(refused.value)
    assert "password" in str(refused.value)


@pytest.mark.parametrize(("ref", "expected"), [
    (1, "1"), ("1", "1"), ("m1.small", "m1.small"), ("http://host/v2/flavors/7", "7"), ("http://host/flavors/7/", "7"),
])
def test_the_last_segment_of_a_reference_is_the_id(ref, expected):
    assert apischema.last_segment(ref) == expected


def test_a_refusal_never_shows_an_object_with_a_password_in_it():
    users = apischema.or_null({"type": "array", "items": {"type": "object", "properties": {
        "password": apischema.password}}, "maxItems": 1})
    schema = apischema.compiled({"type": "object", "properties": {"users": users}})
    for value in ([{"password": "hunter2"}, {"password": "hunter2"}], {"password": "hunter2"}, [["hunter2"]]):
        with pytest.raises(exception.ValidationError) as refused:
            apischema.check(schema, {"users": value})
        assert "hunter2" not in str(refused.value)
    apischema.check(schema, {"users": None})
