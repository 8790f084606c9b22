import re

from storage import errors


def test_every_error_stands_in_the_tree_with_its_own_code() -> None:
    assert errors.__doc__ is not None
    drawn = {name: int(code) for name, code in re.findall(r"(\w+) +(\d{5})\b", errors.__doc__)}
    defined = {
        name: kind.code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.StorageError)
    }
    assert drawn == defined
    assert len(set(defined.values())) == len(defined)
    assert all(400 <= code // 100 <= 599 for code in defined.values())
