"""Which images are tested for which runtimes: made once, before anything is launched."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_dcs import errors, init_scripts, inventory, rules, stash, waivers
from pytest_dcs.engines import ContainerSpec, LaunchFailed
from pytest_dcs.image import CLUSTER_PLATFORM, Image, ImageConfig, archives
from pytest_dcs.layer_readings import LayerReadings
from pytest_dcs.options import LOCAL_IMAGE, NO_ENGINE, anchored_script
from pytest_dcs.shell import Shell
from pytest_dcs.toml_files import Fields, read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from pytest_dcs.engines import Engine
    from pytest_dcs.options import Settings
    from pytest_dcs.runtimes import Catalogue, Runtime

RUNTIME_LABEL = "pytest-dcs.runtime"
"""A label of the image that names the runtime it is for."""

MATRIX_EXAMPLE = """Each image is
[[image]]
image = "acme/ml:1.4"
runtimes = ["15.4", "16.4"]
profile = "python,gpu"
init_scripts = ["scripts/proxy.sh"]
and optionally waivers: [[image.waive]] tables with rule, reason and until."""


@dataclass(frozen=True)
class Wish:
    """One image as the user asked for it, on the command line or in a matrix file."""

    reference: str
    runtimes: tuple[str, ...] = ()
    profile: str | None = None
    init_scripts: tuple[str, ...] = ()
    waivers: tuple[waivers.Waiver, ...] = ()
    source: str = ""
    folder: Path = Path()
    """Where relative paths start from."""


class Choice(NamedTuple):
    """A runtime that an image is tested for, and who chose it."""

    runtime: Runtime
    source: str
    guessed: bool = False


@dataclass(frozen=True)
class Entry:
    """One image on one runtime."""

    image: Image
    runtime: Runtime
    runtime_source: str
    profile: str
    features: frozenset[str]
    init_scripts: tuple[str, ...] = ()
    waivers: tuple[waivers.Waiver, ...] = ()
    guessed: bool = False

    @property
    def id(self) -> str:
        """What stands in brackets behind a test's name."""
        return f"{self.image.reference}-{self.runtime.version}"

    @property
    def title(self) -> str:
        """The image, what it would be released as, and its runtime, for people."""
        short = self.image.released_as[:19] or "no digest known"
        runtime = f"{self.runtime.version}{f' ({self.runtime_source})' if self.guessed else ''}"
        return f"{self.image.reference} ({short}) on {runtime}"


@dataclass(frozen=True)
class Plan:
    """All entries of a run."""

    entries: tuple[Entry, ...]

    def to_plain(self) -> list[dict[str, Any]]:
        """Return what an xdist worker needs to make the same plan without asking an engine."""
        return [
            {
                "image": asdict(entry.image),
                "runtime": entry.runtime.version,
                "runtime_source": entry.runtime_source,
                "profile": entry.profile,
                "guessed": entry.guessed,
                "init_scripts": entry.init_scripts,
                "waivers": [waiver.to_plain() for waiver in entry.waivers],
            }
            for entry in self.entries
        ]


def from_plain(plain: list[dict[str, Any]], catalogue: Catalogue) -> Plan:
    """Return the plan that the controller made."""
    return Plan(
        tuple(
            Entry(
                image=Image.from_dict(entry["image"]),
                runtime=catalogue.find(entry["runtime"]),
                runtime_source=entry["runtime_source"],
                profile=entry["profile"],
                features=catalogue.features(entry["profile"]),
                init_scripts=tuple(entry["init_scripts"]),
                waivers=tuple(map(waivers.Waiver.from_plain, entry["waivers"])),
                guessed=entry["guessed"],
            )
            for entry in plain
        )
    )


def make(
    settings: Settings,
    catalogue: Catalogue,
    engine: Callable[[], Engine],
    *,
    collect_only: bool = False,
) -> Plan:
    """Return the plan; raises a `SetupError` for an image, runtime or profile that cannot be had.

    The engine is a function, so that nothing needs one before the user's words have been checked,
    and that a run which only collects needs none where the runtimes are declared.
    """
    wishes = list(read_wishes(settings))
    if settings.is_local:
        wishes = [wish_of_this_machine(wishes)]
    declared = {wish: declared_runtimes(wish, settings, catalogue) for wish in wishes}
    features = {wish: catalogue.features(profile_of(wish, settings)) for wish in wishes}
    for text in chain(settings.init_script.value, *(wish.init_scripts for wish in wishes)):
        init_scripts.parse(text)
    refuse_missing_files(settings)
    for_all = waivers.load(settings.waivers_file)
    entries: list[Entry] = []
    for wish in wishes:
        if collect_only and declared[wish]:
            image = Image(wish.reference, id="not looked at", config=ImageConfig())
        else:
            image = resolve(wish, settings, engine)
        if not (image.archive or only_static_rules(settings)):
            refuse_other_platforms(image)
        choices = declared[wish] or labelled(image, catalogue)
        entries += [
            Entry(
                image=image,
                runtime=choice.runtime,
                runtime_source=choice.source,
                profile=profile_of(wish, settings),
                features=features[wish],
                init_scripts=(*settings.init_script.value, *wish.init_scripts),
                waivers=(*wish.waivers, *for_all),
                guessed=choice.guessed,
            )
            for choice in choices or [guess(image, catalogue, engine, settings)]
        ]
    refuse_duplicates(entries)
    return Plan(tuple(entries))


def wish_of_this_machine(wishes: list[Wish]) -> Wish:
    """Return the one image that this machine can be; raises `LocalUnfit`."""
    wish = wishes[0] if wishes else Wish(LOCAL_IMAGE)
    if len(wishes) > 1:
        why = f"{len(wishes)} images are named, and this machine can be but one"
        next_step = "Name one image or none; the others run in jobs of their own."
        raise errors.LocalUnfit(why, next_step)
    if archives.is_archive(wish.reference):
        why = f"{wish.reference} lies in files"
        next_step = "Judge files with --dcs-engine=none, and this machine without --dcs-image."
        raise errors.LocalUnfit(why, next_step)
    return wish


def resolve(wish: Wish, settings: Settings, engine: Callable[[], Engine]) -> Image:
    """Return the image that is wished for; raises a `SetupError` where it cannot be had."""
    if archives.is_archive(wish.reference):
        return archives.resolve(wish.reference, wish.folder)
    if settings.engine.value == NO_ENGINE:
        raise errors.EngineNeeded(wish.reference)
    return engine().resolve(wish.reference, settings.pull.value)


def read_wishes(settings: Settings) -> Iterator[Wish]:
    """Yield the images that were asked for; a name that ends in .toml is a matrix file."""
    for name in settings.image.value:
        if name.endswith(".toml"):
            yield from read_matrix(Path(name))
        else:
            yield Wish(name)


def read_matrix(path: Path) -> Iterator[Wish]:
    """Yield the images of a matrix file; raises `BrokenFile`."""
    document = Fields(path, "the file", read_toml(path), MATRIX_EXAMPLE)
    tables = document.tables("image")
    document.nothing_else()
    if not tables:
        document.refuse("there is no [[image]]")
    for number, table in enumerate(tables, 1):
        fields = Fields(path, f"image {number}", table, MATRIX_EXAMPLE)
        wish = Wish(
            reference=fields.text("image"),
            runtimes=fields.texts("runtimes"),
            profile=fields.text("profile", "") or None,
            init_scripts=tuple(
                anchored_script(text, path.absolute().parent)
                for text in fields.texts("init_scripts")
            ),
            waivers=waivers.parse(path, fields.tables("waive"), f"image {number}, "),
            source=f"matrix {path.name}",
            folder=path.parent,
        )
        fields.nothing_else()
        yield wish


def declared_runtimes(wish: Wish, settings: Settings, catalogue: Catalogue) -> list[Choice]:
    """Return the runtimes that somebody named: option > environment > matrix > ini."""
    versions, source = settings.runtime.value, settings.runtime.source
    if wish.runtimes and not source.startswith(("option", "environment")):
        versions, source = wish.runtimes, wish.source
    return [Choice(catalogue.find(version), source) for version in versions]


def profile_of(wish: Wish, settings: Settings) -> str:
    """Return the profile that somebody named: option > environment > matrix > ini > default."""
    if wish.profile and not settings.profile.source.startswith(("option", "environment")):
        return wish.profile
    return settings.profile.value


def labelled(image: Image, catalogue: Catalogue) -> list[Choice]:
    """Return the runtime that the image's own label names."""
    version = image.config.labels.get(RUNTIME_LABEL)
    return [Choice(catalogue.find(version), f"label {RUNTIME_LABEL}")] if version else []


def guess(
    image: Image, catalogue: Catalogue, engine: Callable[[], Engine], settings: Settings
) -> Choice:
    """Return the runtime that fits the image's Python and JDK; raises `RuntimeUndeclared`."""
    if image.archive:
        raise errors.RuntimeUndeclared(image.reference, None)
    try:
        container = engine().launch(image, ContainerSpec(run_id="guess"))
    except LaunchFailed:
        seen = inventory.Inventory()
    else:
        try:
            seen = inventory.collect(Shell(container, timeout=settings.timeout.value))
        finally:
            container.end()
    python, java = seen.python, seen.java
    minor = ".".join(python.version.split(".")[:2]) if python else None
    found = catalogue.guess(minor, java.major if java else None)
    if found is None or settings.strict.value:
        raise errors.RuntimeUndeclared(image.reference, found.version if found else None)
    facts = [f"Python {minor}" if minor else "", f"Java {java.major}" if java else ""]
    source = f"guessed from {' and '.join(filter(None, facts))}: declare it"
    return Choice(found, source, guessed=True)


def refuse_missing_files(settings: Settings) -> None:
    """Raise `FileUnreadable` for a file of an option that is not there."""
    for option, names in (("--dcs-smoke", settings.smoke), ("--dcs-jar", settings.jar)):
        for path in map(Path, names.value):
            if not path.is_file():
                raise errors.FileUnreadable(option, path, "there is no such file")


def only_static_rules(settings: Settings) -> bool:
    """Tell whether the selected rules can all be checked without a container."""
    select, ignore = settings.select.value, settings.ignore.value
    return settings.engine.value == NO_ENGINE or all(
        rule.where == "image" or not rules.is_selected(rule.id, select, ignore)
        for rule in rules.catalogue().values()
    )


def refuse_other_platforms(image: Image) -> None:
    """Raise `WrongArchitecture` for an image that no cluster can start."""
    if (image.config.os, image.config.architecture) != CLUSTER_PLATFORM:
        raise errors.WrongArchitecture(image.reference, image.config.platform)


def refuse_duplicates(entries: list[Entry]) -> None:
    """Raise `DuplicateEntry` where two entries would have the same id."""
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            raise errors.DuplicateEntry(entry.title)
        seen.add(entry.id)


def layers_of(config: pytest.Config) -> LayerReadings:
    """Return what reads the layers of this process's images."""
    if stash.LAYERS not in config.stash:
        cache_directory = config.stash[stash.SETTINGS].cache_directory
        config.stash[stash.LAYERS] = LayerReadings(lambda: engine_of(config), cache_directory)
    return config.stash[stash.LAYERS]


def engine_of(config: pytest.Config) -> Engine:
    """Return the one engine of this process; raises a `SetupError` where none answers."""
    if stash.ENGINE not in config.stash:
        config.stash[stash.ENGINE] = make_engine(config.stash[stash.SETTINGS])
    return config.stash[stash.ENGINE]


def make_engine(settings: Settings) -> Engine:
    """Return the engine that is asked for; raises a `SetupError` where none answers."""
    if settings.is_local:
        from pytest_dcs.engines.local import LocalEngine

        return LocalEngine(settings.image_config_file)
    from pytest_dcs.engines.docker import DockerEngine

    return DockerEngine()
