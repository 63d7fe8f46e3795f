"""What is asked in the page: predictions, locked before a cell runs, and the closing questions of a notebook.

Without a kernel (in print, in static pages) questions are plain text, and the answers of a quiz are folded away.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import ipywidgets

from ..errors import DFRError
from ..widgets.common import View

#: How many closing questions a notebook has.
CLOSING = 5
_LETTERS = "abcdefgh"
_FIT = {"width": "max-content", "max_width": "100%"}


class Question(View):
    """Choices, one of which can be chosen. Tab moves from one to the next and on, the space bar chooses.

    Attributes:
        buttons: the choices; their ``index`` is None until one is chosen.
        said: what is said below.
    """

    def __init__(self, title: str, question: str, choices: Sequence[str], *below: ipywidgets.Widget) -> None:
        if len(choices) < 2 or len(set(choices)) < len(choices):
            raise DFRError(title, f"there is nothing to choose in {list(choices)}", "give two or more choices, all different")
        self.question, self.choices = question, tuple(choices)
        self.buttons = ipywidgets.RadioButtons(options=list(choices), index=None, layout=_FIT)
        self.said = ipywidgets.HTML()
        super().__init__([ipywidgets.HTML(f"<p>{html.escape(question)}</p>"), self.buttons, *below, self.said], title)

    def say(self, message: str) -> None:
        """Write below."""
        self.said.value = f"<p>{html.escape(message)}</p>"

    def plain(self) -> str:
        """Question and choices as text."""
        return "\n".join([self.question, *(f"  {letter}) {choice}" for letter, choice in zip(_LETTERS, self.choices))])

    def name(self, index: int) -> str:
        """A choice with its letter."""
        return f"{_LETTERS[index]}) {self.choices[index]}"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return super()._repr_mimebundle_(**kwargs) | {"text/plain": f"{self.title}: {self.plain()}"}


class Prediction(Question):
    """A question that is answered once.

    Attributes:
        locked: the index of the choice that was locked; None while none is.
    """

    def __init__(self, label: str, question: str, choices: Sequence[str]) -> None:
        self.locked: int | None = None
        self.lock = ipywidgets.Button(description="lock", tooltip=f"lock the prediction {label}", disabled=True)
        super().__init__(f"Prediction {label}", question, choices, self.lock)
        self.buttons.observe(self._chosen, names="index")
        self.lock.on_click(self._lock)

    def _chosen(self, change: Any) -> None:
        self.lock.disabled = change["new"] is None

    def _lock(self, _button: Any) -> None:
        self.locked = self.buttons.index
        self.end(f"Locked: {self.name(self.locked)}")

    def end(self, message: str) -> None:
        """Take no more choices, and say why."""
        self.buttons.disabled = self.lock.disabled = True
        self.say(message)


_asked: dict[str, Prediction] = {}


def predict(label: str, question: str, *choices: str) -> None:
    """Ask for a prediction before the cell that shows the result: choose, then lock. What is locked stays, also if the cell runs again.

    Args:
        label: of the prediction, such as ``"3.2"``.
        question: one sentence.
        choices: two or more.
    """
    from IPython.display import display

    asked = _asked.get(label)
    if asked is None or asked.locked is None or asked.choices != choices:
        _asked[label] = Prediction(label, question, choices)
    display(_asked[label])


def outcome(label: str, right: int, because: str) -> None:
    """Print the locked prediction beside what came out; from now on nothing can be locked.

    Args:
        label: of the prediction.
        right: which of the choices it is, counted from 0.
        because: one sentence.

    Raises:
        DFRError: nothing was asked under that label, or there is no such choice.
    """
    if label not in _asked:
        raise DFRError(f"prediction {label}", "it has not been asked", "run the cell with its predict(...) first")
    asked = _asked[label]
    _one_of(f"prediction {label}", asked.choices, right)
    if asked.locked is None:
        asked.end("The result is out; nothing was locked. Run the cell again to predict anew.")
    yours = "not predicted" if asked.locked is None else f"you said {asked.name(asked.locked)}"
    mark = "" if asked.locked is None else ", and so it is" if asked.locked == right else ", but it is not"
    print(f"Prediction {label}: {yours}{mark}\nOutcome: {asked.name(right)}\n{because}")


def _one_of(what: str, choices: Sequence[str], right: int) -> None:
    if not 0 <= right < len(choices):
        raise DFRError(what, f"choice {right} is none of its {len(choices)}", f"count from 0 to {len(choices) - 1}")


class Closing(Question):
    """A closing question: a choice is judged at once, below it."""

    def __init__(self, number: int, question: str, choices: Sequence[str], right: int, why: str) -> None:
        title = f"Question {number}"
        _one_of(title, choices, right)
        self.right, self.why = right, why
        super().__init__(title, f"{number}. {question}", choices)
        self.buttons.observe(self._judge, names="index")

    def _judge(self, change: Any) -> None:
        self.say(f"Right: {self.why}" if change["new"] == self.right else "Not this one.")


class Quiz(View):
    """The closing questions of a notebook; on pages without a kernel the answers are in a fold."""

    def __init__(self, number: int, questions: Sequence[Closing]) -> None:
        super().__init__(questions, f"closing questions {number}")
        self.number, self.questions = number, questions

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        plain = "\n".join([f"Closing questions {self.number}", *(asked.plain() for asked in self.questions)])
        asked = [
            f"<p>{html.escape(q.question)}</p><ol type='a'>{''.join(f'<li>{html.escape(choice)}</li>' for choice in q.choices)}</ol>"
            for q in self.questions
        ]
        told = "".join(f"<li>{html.escape(f'{q.name(q.right)}. {q.why}')}</li>" for q in self.questions)
        page = f"<div>{''.join(asked)}<details><summary>Answers</summary><ol>{told}</ol></details></div>"
        return super()._repr_mimebundle_(**kwargs) | {"text/plain": plain, "text/html": page}


def quiz(number: int, questions: Sequence[tuple[str, Sequence[str], int, str]]) -> None:
    """Ask the closing questions of a notebook.

    Args:
        number: of the notebook.
        questions: five of (question, choices, which is right counted from 0, why).

    Raises:
        DFRError: there are not five, or one has no such choice.
    """
    from IPython.display import display

    if len(questions) != CLOSING:
        raise DFRError(f"quiz {number}", f"it has {len(questions)} questions", f"give {CLOSING}")
    display(Quiz(number, [Closing(k, *asked) for k, asked in enumerate(questions, start=1)]))
