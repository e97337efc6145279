"""Which marks of a call are answered, and whether a missing answer is one of jambonz's (listenctl-protocol(7) 6.4)."""


class MarkAnswers:
    def __init__(self) -> None:
        self.any_answered = False
        self._unanswered = 0
        # Whether marks were cleared, after which jambonz can swallow any later one.
        self._cleared = False
        # Whether audio follows the last mark of each tool.
        self._followed: dict[int, bool] = {}

    def add_mark(self, tool: int | None) -> None:
        """Record a mark of a tool, or of the application (None)."""
        self._unanswered += 1
        if tool is not None:
            self._followed[tool] = False

    def add_answer(self) -> None:
        self.any_answered = True
        # Answers can repeat.
        self._unanswered = max(0, self._unanswered - 1)

    def add_audio(self) -> None:
        self._followed = dict.fromkeys(self._followed, True)

    def clear_marks(self) -> None:
        self._cleared = self._cleared or self._unanswered > 0

    def forget_tool(self, tool: int) -> None:
        # Its marks stay in jambonz, and can hold up those of others.
        self._followed.pop(tool, None)

    def may_lose_mark(self, tool: int) -> bool:
        """Return whether jambonz may never answer the last mark of a tool, whatever the rate of the stream is."""
        return self._cleared or self._unanswered > 1 or self._followed.get(tool, False)
