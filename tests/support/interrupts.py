"""Exceptions from outside, as a signal's handler raises them, at a chosen point of the runtime's own code."""

import dis
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, ModuleType
from typing import Any


class Interrupt(BaseException):
    """Like KeyboardInterrupt, or the soft time limit of Celery."""


_OFTEN = 2
"""How often one point of the code is tried at most, however often it is passed."""

# Where CPython looks for signals: as a function begins, after a call, and as a loop goes round.
_LOOKS = ("CALL", "RESUME", "JUMP_BACKWARD", "PRECALL")


class Points:
    """Raises an exception at the n-th point that a piece of work passes in some modules.

    Args:
        modules: whose code is looked at.
        lines: whether each line is a point, the end of a `with` left out, where CPython delivers no signal; else each
            bytecode is before which CPython does.
    """

    def __init__(self, *modules: ModuleType, lines: bool = False) -> None:
        self._files = {module.__file__ for module in modules}
        self._lines = lines
        self._looks: dict[CodeType, set[int]] = {}
        self._seen: Counter[tuple[CodeType, int]] = Counter()
        self._from = 0
        self.passed = 0
        self.raised: BaseException | None = None
        self.where = ""

    def run(self, work: Callable[[], Any], at: int, error: BaseException) -> BaseException | None:
        """Do the work, raise the error at that point, or the next that it was not raised at before.

        Returns what came out of the work, if anything did.
        """
        self._from, self.passed, self.raised, self.where = at, 0, None, ""
        before = sys.gettrace()
        self._error = error
        sys.settrace(self._begin)
        try:
            work()
        except BaseException as caught:
            return caught
        finally:
            sys.settrace(before)
        return None

    def each(self, work: Callable[[], Any], step: int = 1) -> Iterator[tuple[str, Any, Any]]:
        """For each point in turn, or each so many: where it is, the exception raised there, what came out of the work."""
        at = 0
        while True:
            error = Interrupt()
            out = self.run(work, at, error)
            if self.raised is None:
                assert out is None, out
                return
            yield self.where, error, out
            at = self.passed + step - 1

    def _begin(self, frame: FrameType, event: str, given: Any) -> Any:
        if frame.f_code.co_filename not in self._files:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = not self._lines, self._lines
        if not self._lines:
            self._at(frame)
        return self._within

    def _within(self, frame: FrameType, event: str, given: Any) -> Any:
        if event == "line":
            hit = self._lines and frame.f_lasti not in self._of(frame.f_code, _ends)
        else:
            hit = event == "opcode" and frame.f_lasti in self._of(frame.f_code, _parsed)
        if hit:
            self._at(frame)
        return self._within

    def _of(self, code: CodeType, find: Callable[[CodeType], set[int]]) -> set[int]:
        if code not in self._looks:
            self._looks[code] = find(code)
        return self._looks[code]

    def _at(self, frame: FrameType) -> None:
        if self.raised is not None:
            return
        self.passed += 1
        here = frame.f_code, frame.f_lasti
        if self.passed <= self._from or self._seen[here] == _OFTEN:
            return
        self._seen[here] += 1
        self.where = (
            f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname} at {frame.f_lasti}"
        )
        self.raised = self._error
        raise self._error


def _parsed(code: CodeType) -> set[int]:
    """The instructions before which CPython may raise what a signal's handler raised."""
    found, before = set(), ""
    for instruction in dis.get_instructions(code):
        if before.startswith(_LOOKS) and not instruction.opname.startswith(("PRECALL", "CALL")):
            found.add(instruction.offset)
        before = "" if instruction.opname.startswith("JUMP_BACKWARD") else instruction.opname
        if instruction.opname.startswith("JUMP_BACKWARD"):
            found.add(int(instruction.argval))
    return found


def _ends(code: CodeType) -> set[int]:
    """Where the end of a `with` calls `__exit__` with three Nones: nothing is raised before that call is over."""
    instructions = list(dis.get_instructions(code))
    found = set()
    for at in range(len(instructions) - 3):
        four = instructions[at : at + 4]
        if (
            all(each.opname == "LOAD_CONST" and each.argval is None for each in four[:3])
            and "CALL" in four[3].opname
        ):
            found.add(four[0].offset)
    return found
