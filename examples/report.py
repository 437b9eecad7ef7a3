"""Printing for the examples: numbered parts, and promises that are checked and counted."""

from __future__ import annotations


class Report:
    """Prints the parts of an example and remembers which of its promises failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.checked = 0

    def part(self, title: str) -> None:
        print(f"\n{title}\n{'-' * len(title)}", flush=True)

    def say(self, text: str) -> None:
        print(text, flush=True)

    def check(self, promise: str, kept: bool, measured: str = "") -> None:
        """Prints the promise with what was measured; a broken one makes the example exit with 1."""
        self.checked += 1
        if not kept:
            self.failed.append(promise)
        print(f"  [{'ok' if kept else 'FAILED'}] {promise}{': ' + measured if measured else ''}", flush=True)

    def exit_code(self) -> int:
        """Prints the summary; 0 when every promise was kept."""
        if self.failed:
            print(f"\n{len(self.failed)} of {self.checked} checks failed: " + "; ".join(self.failed))
            return 1
        print(f"\nAll {self.checked} checks passed.")
        return 0
