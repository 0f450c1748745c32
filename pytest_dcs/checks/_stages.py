"""What rules about the stages of a probe share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.rules import Blocked, NotApplicable, require

if TYPE_CHECKING:
    from pytest_dcs.stages import Smoke


def require_stage(smoke: Smoke, name: str, needed: str) -> None:
    """Raise `RuleBroken` where the stage failed, `Blocked` where the probe did not come to it.

    Raises `NotApplicable` where the probe's report has the stage among those that it `left_out`.
    A probe that reported nothing has failed in a stage `start`, and with it in all others.
    """
    stage = smoke.stage(name)
    if name in smoke.facts.get("left_out", ()):
        raise NotApplicable(stage.detail)
    if [each.name for each in smoke.stages] == ["start"]:
        stage = smoke.stage("start")
    if stage.outcome == "not-run":
        raise Blocked(f"the stage {name} was not run: {stage.detail}")
    require(stage.outcome == "passed", f"stage {name}", found=stage.detail, needed=needed)
