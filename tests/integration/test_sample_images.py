"""The sample images give exactly the findings that they were made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sample_images import corpus
from sample_images.samples import Sample, all_samples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sample_images.judging import Judged

pytestmark = pytest.mark.docker

SAMPLES = all_samples()


@pytest.fixture(scope="module")
def judged(request: pytest.FixtureRequest) -> Mapping[str, Judged]:
    """Judge all samples of the selected tests, side by side."""
    parameters = [
        item.callspec.params for item in request.session.items if hasattr(item, "callspec")
    ]
    wanted = [each["wanted"] for each in parameters if isinstance(each.get("wanted"), Sample)]
    return corpus.judge(wanted)


@pytest.mark.parametrize("wanted", SAMPLES.values(), ids=SAMPLES)
def test_sample_gives_its_findings_and_no_others(
    wanted: Sample, judged: Mapping[str, Judged]
) -> None:
    assert not corpus.faults(wanted, judged[wanted.id])
