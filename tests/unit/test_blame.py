"""Which library an installer's error is about."""

from __future__ import annotations

import pytest

from shared.diagnosis.blame import blamed, named_packages
from shared.models import Json


def pypi(package: str) -> Json:
    return {"pypi": {"package": package}}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("ERROR: No matching distribution found for pandas==9.9", {"pandas"}),
        ("ERROR: No matching distribution found for nosuchpackage.", {"nosuchpackage"}),
        ("No matching distribution found for pandas[excel]==2", {"pandas"}),
        ("Could not find a version that satisfies the requirement Acme_ETL>=3", {"acme-etl"}),
        ("ERROR: Failed building wheel for pyarrow", {"pyarrow"}),
        ("foo 1.0 requires bar<2, but you have bar 2.1 which is incompatible.", {"foo"}),
        ("ERROR: Package 'x' requires a different Python: 3.8.10 not in '>=3.9'", {"x"}),
        ("foo-1.0-cp39-cp39-linux_x86_64.whl is not a supported wheel on this platform", {"foo"}),
        ("not available from current channels: - numpy=9.9", {"numpy"}),
        ("nothing provides requested numpy 9.9", {"numpy"}),
        ("unresolved dependency: com.acme:widgets_2.12:9.9: not found", {"com.acme:widgets_2.12"}),
        ("Could not find artifact com.acme:widgets:jar:9.9", {"com.acme:widgets"}),
        ("package \u2018geojson\u2019 is not available (for R version 4.2)", {"geojson"}),
        ("jar dbfs:/jars/x.jar: java.io.FileNotFoundException", {"x.jar"}),
        ("gave up after 3 requests for an array of sixty", set()),
        ("", set()),
    ],
)
def test_where_installers_name_packages(said: str, expected: set[str]) -> None:
    assert named_packages(said) == expected


REQUESTS, PANDAS = pypi("requests==2.31.0"), pypi("Pandas==2.2.3")
MAVEN = {"maven": {"coordinates": "com.acme:widgets_2.12:9.9"}}
WHEEL = {"whl": "dbfs:/libs/acme_etl-1.2-py3-none-any.whl"}


@pytest.mark.parametrize(
    ("listed", "said", "position"),
    [
        ([REQUESTS, PANDAS], "No matching distribution found for pandas==2.2.3", 1),
        ([REQUESTS, PANDAS], "after 3 requests: No matching distribution found for pandas", 1),
        ([REQUESTS, MAVEN], "unresolved dependency: com.acme:widgets_2.12:9.9: not found", 1),
        ([REQUESTS, WHEEL], "acme_etl-1.2-py3-none-any.whl is not a supported wheel", 1),
        ([REQUESTS, WHEEL], "cannot read dbfs:/libs/acme_etl-1.2-py3-none-any.whl", 1),
        ([REQUESTS, PANDAS], "Process List(pip, install, --upgrade, pandas) exited with code 1", 1),
        ([REQUESTS, PANDAS], "the installation of pandas==2.2.3 failed", 1),
        ([PANDAS], "the installation failed", 0),
        ([pypi("scikit_learn")], "No matching distribution found for Scikit.Learn", 0),
        ([REQUESTS, PANDAS], "the installation failed after 3 requests", "does not name"),
        ([REQUESTS, PANDAS], "pandas==2.2.30 and my-requests==2.31.0 failed", "does not name"),
        ([REQUESTS, PANDAS], "No matching distribution found for ray", "names ray, which is not"),
        ([PANDAS], "No matching distribution found for pandas-stubs", "names pandas-stubs"),
        ([REQUESTS, PANDAS], "cannot install requests==2.31.0 and pandas==2.2.3", "more than one"),
        ([PANDAS, pypi("pandas")], "No matching distribution found for pandas", "more than one"),
        ([], "No matching distribution found for pandas", "names pandas"),
    ],
)
def test_which_library_is_to_blame(listed: list[Json], said: str, position: int | str) -> None:
    found = blamed(listed, said)
    if isinstance(position, int):
        assert found == position
    else:
        assert isinstance(found, str)
        assert position in found
