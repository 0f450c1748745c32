"""What is known of GPUs, drivers and libraries, whatever the image."""

from __future__ import annotations

import pytest

from pytest_dcs import gpu


@pytest.mark.parametrize(
    ("cuda", "oldest", "own"),
    [
        ((12, 4, 127), (525, 60, 13), (550, 54, 14)),
        ((11, 8, 89), (450, 80, 2), (520, 61, 5)),
        ((10, 2, 89), (440, 33), (440, 33)),
        ((13, 0), (580, 65, 6), (580, 65, 6)),
        ((12, 99), (525, 60, 13), None),
        ((9, 2), None, None),
    ],
)
def test_a_cuda_runs_from_one_driver_on_and_fully_from_another(
    cuda: gpu.Version, oldest: gpu.Version | None, own: gpu.Version | None
) -> None:
    assert (gpu.oldest_driver(cuda), gpu.toolkit_driver(cuda)) == (oldest, own)


@pytest.mark.parametrize(
    ("driver", "cuda"),
    [((550, 54, 15), (12, 4)), ((535, 183, 1), (12, 2)), ((999,), (13, 2)), ((390,), ())],
)
def test_a_driver_offers_the_newest_cuda_that_is_not_newer(
    driver: gpu.Version, cuda: gpu.Version
) -> None:
    assert gpu.cuda_of_driver(driver) == cuda


@pytest.mark.parametrize(
    ("package", "library"),
    [
        ("nvidia-cudnn-cu12", "cudnn"),
        ("nvidia_cuda_runtime_cu12", "cudart"),
        ("nvidia-cublas", "cublas"),
        ("nvidia-ml-py", None),
        ("torch", None),
    ],
)
def test_a_wheel_of_nvidia_s_is_known_by_its_name(package: str, library: str | None) -> None:
    found = gpu.library_of_wheel(package)
    assert (found.name if found else None) == library


def test_versions_are_numbers_at_the_begin_of_a_text() -> None:
    assert gpu.version_of("12.4.127") == (12, 4, 127)
    assert gpu.version_of("2.4.1+cpu") == (2, 4, 1)
    assert gpu.version_of("unknown") == ()
    assert gpu.text_of((12, 4)) == "12.4"


def test_newer_toolkits_have_newer_drivers() -> None:
    drivers = [gpu.toolkit_driver((major, minor)) for major in (11, 12, 13) for minor in range(10)]
    known = [driver for driver in drivers if driver]
    assert known == sorted(known)
    assert len(known) > 15
