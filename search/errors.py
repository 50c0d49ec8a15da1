"""What can go wrong in a search, each as one plain sentence: what, where, what to do."""


class SearchError(Exception):
    """The design is wrong: an unknown name, a range that cannot be searched, too few items.

    Attributes:
        part: of the design that it is about, for a form: "name", "models", "space", "objectives",
            "items" or "sampler"; empty where nobody said.
    """

    exit_code: int = 2

    def __init__(self, text: str, part: str = "") -> None:
        super().__init__(text)
        self.part = part


class SearchFailure(Exception):
    """The design was right, and the search failed nevertheless."""

    exit_code: int = 1


class about:
    """`with about("space"): ...` says which part of a design an error within is about."""

    def __init__(self, part: str) -> None:
        self.part = part

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Note the part, where nothing nearer to the error has."""
        if isinstance(error, SearchError):
            error.part = error.part or self.part
