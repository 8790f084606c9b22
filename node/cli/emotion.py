"""Commands of the twin's mood: look at it, and set it."""

from typing import Any

from node.cli.command import Call, Commands
from node.cli.output import say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("emotion", "how the twin feels", usual="show")
    group.add("show", "show the mood", show)
    setting = group.add("set", "say how the twin feels", change)
    setting.add_argument("mood", metavar="MOOD", help="such as neutral, happy, curious, stressed")
    setting.add_argument(
        "level", metavar="LEVEL", type=float, nargs="?", default=0.5, help="from 0 to 1; 0.5 if not given"
    )


def show(call: Call) -> None:
    _show(call, call.client().get("emotion"))


def change(call: Call) -> None:
    body = {"mood": call.args.mood, "activation_level": call.args.level}
    _show(call, call.client().put("emotion", body=body))


def _show(call: Call, emotion: dict[str, Any]) -> None:
    call.show(emotion, lambda: say(f"{emotion['mood']} ({emotion['activation_level']:.2f} of 1)"))
