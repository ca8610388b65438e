"""All that keys do, by name: the bindings, the key line, the help and a person's own keys come from this one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from textual.binding import Binding, BindingType

Keymap = Mapping[str, str]
"""Keys that a person has chosen, by the ids of actions: ``{"unit.retry": "r,ctrl+r"}``."""

USUAL: Final[Keymap] = {}
"""The keymap of who has chosen no keys."""

NO_KEY: Final = "none"
"""What stands in a keymap for an action that is to have no key."""


class Where(StrEnum):
    """Which part of the screen answers a key; parts inside of others come first."""

    TREE = "tree"
    LOG = "log"
    LINES = "lines"
    DETAILS = "details"
    EVENTS = "events"
    TIMELINE = "timeline"
    CURSOR = "cursor"
    REPLAY = "replay"
    SCREEN = "screen"
    APP = "app"


class Action(NamedTuple):
    """Something that a key does.

    `keys` are Textual's names of its keys, separated by commas, and `does` is what Textual is to call. `text` is what
    the help says of it, under the heading `group`; one without a text is told with the action before it, and `ALONE`
    has what lists of single actions say of both. The id of an action in braces stands for its key in it
    (`keys.text_of`).
    `hint` is what the key line says, and `rank` how soon it does. What `steers` asks something of the run.
    """

    id: str
    where: Where
    keys: str
    does: str
    group: str = ""
    text: str = ""
    hint: str = ""
    rank: int = 99
    steers: bool = False


_T, _L, _S, _A, _R = Where.TREE, Where.LOG, Where.SCREEN, Where.APP, Where.REPLAY
_G = Where.TIMELINE

ACTIONS: Final = (
    Action("move.down", _T, "j,down", "move(1)", "Move", "down, up"),
    Action("move.up", _T, "k,up", "move(-1)", "Move"),
    Action("move.first", _T, "g,home", "move_to(0)", "Move", "first, last"),
    Action("move.last", _T, "G,end", "move_to(-1)", "Move"),
    Action("move.page_down", _T, "pagedown", "move_pages(1)", "Move", "a page"),
    Action("move.page_up", _T, "pageup", "move_pages(-1)", "Move"),
    Action("move.half_down", _T, "ctrl+d", "move_pages(0.5)", "Move", "half a page"),
    Action("move.half_up", _T, "ctrl+u", "move_pages(-0.5)", "Move"),
    Action("move.unfold", _T, "l,right", "unfold", "Move", "unfold, or its log / fold, or go up"),
    Action("move.fold", _T, "h,left", "fold", "Move"),
    Action("unit.open", _T, "enter", "open", "Move", "open the unit's log; {screen.back} goes back", "log", 4),
    Action("tab.info", _S, "d", "tab('info')", "Tabs", "what it is, what became of it", "info", 18),
    Action("tab.why", _S, "w", "tab('why')", "Tabs", "why it is so, what it waits for", "why", 8),
    Action("tab.deps", _S, "c", "tab('deps')", "Tabs", "what it is connected to: needs, needed by"),
    Action("tab.tries", _S, "v", "tab('tries')", "Tabs", "its attempts; {line.open} opens the log of one"),
    Action("tab.log", _S, "L", "tab('log')", "Tabs", "the log of its latest attempt"),
    Action("line.open", Where.CURSOR, "enter", "open_line", "Tabs", "details, events, timeline: go where it leads"),
    Action("tab.next", Where.DETAILS, "l,right", "step_tab(1)", "Tabs", "the next tab, the one before"),
    Action("tab.previous", Where.DETAILS, "h,left", "step_tab(-1)", "Tabs"),
    Action("unit.next_failed", _S, "f", "next_failed", "Move", "next failed: first one of each cause", "failed", 7),
    Action("filter.begin", _S, "slash", "filter", "Move", "filter: text state:x tag:x !x", "filter", 8),
    Action("filter.next", _S, "n", "next_match(1)", "Move", "next, previous match", "next match", 17),
    Action("filter.previous", _S, "N", "next_match(-1)", "Move"),
    Action("units.view", _S, "t", "next_view", "Move", "tree by dependency, levels, list", "view", 18),
    Action("units.sort", _S, "o", "sort", "Move", "sort the list by something else", "sort", 20),
    Action("units.finished", _S, "full_stop", "fold_finished", "Move", "fold or show what ended well", "fold done", 21),
    Action("units.mark", _T, "space", "mark", "Units", "mark: keys act on what is marked", "mark", 19),
    Action("units.mark_all", _S, "asterisk", "mark_all", "Units", "mark all found, or failed alike"),
    Action("unit.retry", _S, "r", "retry", "Units", "run again (skips the wait of a retry)", "retry", 6, steers=True),
    Action("unit.retry_all", _S, "R", "retry_all", "Units", "run all failed and canceled again", "retry failed", 13,
           steers=True),
    Action("unit.cancel", _S, "x", "cancel", "Units", "cancel; again while it stops: kill", "cancel", 5, steers=True),
    Action("unit.set_aside", _S, "S", "set_aside", "Units", "skip, or mark as done without a run", steers=True),
    Action("unit.later", _S, "less_than_sign", "prioritize(-1)", "Units", "priority: start later, earlier",
           steers=True),
    Action("unit.earlier", _S, "greater_than_sign", "prioritize(1)", "Units", steers=True),
    Action("unit.edit", _S, "e", "edit", "Units", "edit command, timeout, ..., and run again", "edit", 18, steers=True),
    Action("unit.answer", _S, "a", "answer", "Units", "answer what asks, let go a brake", "answer", 10, steers=True),
    Action("run.pause", _S, "p", "pause", "Run", "pause, go on: start nothing new", "pause", 9, steers=True),
    Action("run.workers_up", _S, "plus", "workers(1)", "Run", "more, fewer workers; automatic", "workers", 15,
           steers=True),
    Action("run.workers_down", _S, "minus", "workers(-1)", "Run", steers=True),
    Action("run.workers_auto", _S, "A", "adapt_workers", "Run", steers=True),
    Action("run.cancel", _S, "X", "cancel_run", "Run", "cancel the run: drain or stop", "cancel run", 12, steers=True),
    Action("app.detach", _A, "D", "detach", "Run", "let the run go on without a screen", "detach", 3),
    Action("app.suspend", _A, "ctrl+z", "suspend_process", "Run", "to the shell, the run goes on; fg"),
    Action("app.leave", _S, "q", "app.leave", "Run", "quit; {app.interrupt} twice cancels, again kills", "quit", 2),
    Action("app.interrupt", _A, "ctrl+c", "interrupt", "Run"),
    Action("time.play", _R, "p", "play", "Replay", "pause, play", "pause, play", 3),
    Action("time.back", _R, "left_square_bracket", "step(-1)", "Replay", "back, on to where something happens", "event",
           4),
    Action("time.on", _R, "right_square_bracket", "step(1)", "Replay"),
    Action("time.leap_back", _R, "left_parenthesis", "leap(-1)", "Replay", "a twentieth of the time back, on", "jump",
           5),
    Action("time.leap_on", _R, "right_parenthesis", "leap(1)", "Replay"),
    Action("time.slower", _R, "left_curly_bracket", "speed(-1)", "Replay", "slower, faster", "speed", 6),
    Action("time.faster", _R, "right_curly_bracket", "speed(1)", "Replay"),
    Action("pane.next", _S, "tab", "next_pane(1)", "Screen", "next pane, the one before", "pane", 11),
    Action("pane.previous", _S, "shift+tab", "next_pane(-1)", "Screen"),
    Action("pane.units", _S, "1", "pane('units')", "Screen",
           "units log workers events timeline"),
    Action("pane.log", _S, "2", "pane('log')", "Screen"),
    Action("pane.workers", _S, "3", "pane('workers')", "Screen"),
    Action("pane.events", _S, "4", "pane('events')", "Screen"),
    Action("pane.timeline", _S, "5", "pane('timeline')", "Screen"),
    Action("events.problems", Where.EVENTS, "exclamation_mark", "problems", "Screen",
           "events: problems only, all"),
    Action("pane.zoom", _S, "z", "zoom", "Screen", "zoom the pane", "zoom", 14),
    Action("timeline.closer", _G, "i", "zoom_time(1)", "Timeline", "look closer, see more", "closer", 3),
    Action("timeline.wider", _G, "I", "zoom_time(-1)", "Timeline"),
    Action("timeline.later", _G, "l,right", "pan_time(1)", "Timeline", "later, earlier"),
    Action("timeline.earlier", _G, "h,left", "pan_time(-1)", "Timeline"),
    Action("timeline.whole", _G, "0", "whole_time", "Timeline", "the whole run; follow what goes on", "whole", 4),
    Action("log.follow", _S, "F", "follow", "Log", "follow the end, on and off", "follow", 16),
    Action("log.wrap", _S, "W", "wrap", "Log", "wrap long lines, on and off", "wrap", 19),
    Action("log.gutter", _S, "number_sign", "gutter", "Log", "time of each line: none, clock, elapsed"),
    Action("search.begin", _L, "slash", "screen.search", "Log", "in the log: search it", "search", 8),
    Action("search.next", _L, "n", "next_found(1)", "Log", "in the log: next, previous match", "next match",
           17),
    Action("search.previous", _L, "N", "next_found(-1)", "Log"),
    Action("search.all", _S, "ctrl+f", "search_all", "Log", "search the logs of all units", "find", 20),
    Action("log.open", _S, "O", "open_log", "Log", "open the log in $PAGER"),
    Action("log.copy", _S, "y", "copy", "Log", "copy a line, the error, or the name", "copy", 21),
    Action("log.copy_all", _S, "Y", "copy_log", "Log", "copy the log"),
    Action("log.save", _S, "s", "save_log", "Log", "save the log to a file here"),
    Action("log.left", _L, "h,left", "scroll_side(-1)", "Text", "log: sideways"),
    Action("log.right", _L, "l,right", "scroll_side(1)", "Text"),
    Action("lines.down", Where.LINES, "j,down", "scroll_lines(1)", "Text", "down, up"),
    Action("lines.up", Where.LINES, "k,up", "scroll_lines(-1)", "Text"),
    Action("lines.page_down", Where.LINES, "pagedown", "scroll_pages(1)", "Text", "a page"),
    Action("lines.page_up", Where.LINES, "pageup", "scroll_pages(-1)", "Text"),
    Action("lines.half_down", Where.LINES, "ctrl+d", "scroll_pages(0.5)", "Text", "half a page"),
    Action("lines.half_up", Where.LINES, "ctrl+u", "scroll_pages(-0.5)", "Text"),
    Action("lines.first", Where.LINES, "g,home", "scroll_to_line(0)", "Text", "first, last line"),
    Action("lines.last", Where.LINES, "G,end", "scroll_to_line(-1)", "Text"),
    Action("command.line", _S, "colon", "command", "Screen", "type a command; tab completes", "command", 10),
    Action("command.palette", _S, "ctrl+p", "palette", "Screen", "choose from all that can be done"),
    Action("app.theme", _A, "T", "theme", "Screen", "the next theme: dark, light, cvd, mono"),
    Action("app.help", _S, "question_mark,f1", "help", "Screen", "this help", "help", 1),
    Action("screen.back", _S, "escape", "back", hint="back", rank=1),
)  # fmt: skip
"""In the order of the help."""

ALONE: Final[Mapping[str, str]] = {
    "move.down": "down",
    "move.up": "up",
    "move.first": "first row",
    "move.last": "last row",
    "move.page_down": "a page down",
    "move.page_up": "a page up",
    "move.half_down": "half a page down",
    "move.half_up": "half a page up",
    "move.unfold": "unfold, or open the log of a unit",
    "move.fold": "fold, or go to the row above",
    "tab.next": "the next tab",
    "tab.previous": "the tab before",
    "filter.next": "next match of the filter",
    "filter.previous": "previous match of the filter",
    "unit.later": "priority: start later",
    "unit.earlier": "priority: start earlier",
    "run.workers_up": "one worker more",
    "run.workers_down": "one worker fewer",
    "run.workers_auto": "have the number of workers follow the machine",
    "app.leave": "quit",
    "app.interrupt": "quit; twice cancels the run, again kills",
    "time.back": "back to where something happens",
    "time.on": "on to where something happens",
    "time.leap_back": "a twentieth of the time back",
    "time.leap_on": "a twentieth of the time on",
    "time.slower": "slower",
    "time.faster": "faster",
    "pane.next": "next pane",
    "pane.previous": "the pane before",
    "pane.units": "go to the units",
    "pane.log": "go to the log",
    "pane.workers": "go to the workers",
    "pane.events": "go to the events",
    "pane.timeline": "go to the timeline",
    "timeline.closer": "timeline: look closer",
    "timeline.wider": "timeline: see more",
    "timeline.later": "timeline: later",
    "timeline.earlier": "timeline: earlier",
    "search.next": "in the log: next match",
    "search.previous": "in the log: previous match",
    "log.left": "log: to the left",
    "log.right": "log: to the right",
    "lines.down": "down",
    "lines.up": "up",
    "lines.page_down": "a page down",
    "lines.page_up": "a page up",
    "lines.half_down": "half a page down",
    "lines.half_up": "half a page up",
    "lines.first": "first line",
    "lines.last": "last line",
    "screen.back": "close, drop the filter, unmark, back to the units",
}
"""What one of several actions does that the help tells together."""

BY_ID: Final = {action.id: action for action in ACTIONS}

ON_A_CLUSTER: Final = {
    "run.workers_up": BY_ID["run.workers_up"]._replace(
        text="more, fewer units at a time; automatic", hint="units at a time"
    )
}
"""What is said of an action in a run on a cluster, whose workers are not its own."""

ALONE_ON_A_CLUSTER: Final[Mapping[str, str]] = {
    "run.workers_up": "one unit more at a time",
    "run.workers_down": "one unit fewer at a time",
    "run.workers_auto": "have the number of units at a time adapt",
}


def bindings(where: Where) -> list[BindingType]:
    """What Textual is to listen to in a part of the screen; a keymap may give them other keys by their ids."""
    return [
        Binding(action.keys, action.does, show=False, id=action.id, priority=where is Where.APP and "+" in action.keys)
        for action in ACTIONS
        if action.where is where
    ]


def keys_of(action: Action, keymap: Keymap) -> list[str]:
    """Textual's names of the keys of an action."""
    return [key for key in keymap.get(action.id, action.keys).split(",") if key != NO_KEY]


def clashes(keymap: Keymap) -> list[tuple[str, Action, Action]]:
    """The keys that would mean two things at a time, with both of them."""
    found = []
    for at, one in enumerate(ACTIONS):
        for other in ACTIONS[at + 1 :]:
            if _meet(one, other):
                found += [(key, one, other) for key in keys_of(one, keymap) if key in keys_of(other, keymap)]
    return found


_PANES: Final = frozenset({Where.TREE, Where.LOG, Where.DETAILS, Where.EVENTS, Where.TIMELINE})
"""The parts that are never the same."""
INNER: Final = _PANES | {Where.LINES, Where.CURSOR}
"""The parts that answer a key only where they have the focus."""

_ALIKE: Final = frozenset({"begin", "next", "previous"})
"""What one can do with a filter of units everywhere, and in the log with a search of it, by the same keys."""


def _meet(one: Action, other: Action) -> bool:
    """Whether both can be meant. Panes have keys of their own; a replay's come before those that steer a run."""
    if one.where in INNER and other.where in INNER:
        both = {one.where, other.where}
        apart = both <= _PANES or (Where.TREE in both) or both == {Where.LOG, Where.CURSOR}
        return len(both) == 1 or not apart
    if {one.id, other.id} in ({f"filter.{step}", f"search.{step}"} for step in _ALIKE):
        return False
    replayed = {one.where, other.where} == {Where.REPLAY, Where.SCREEN}
    return not (replayed and (one.steers or other.steers))
