"""What can go wrong in a search, each as one plain sentence: what, where, what to do."""


class SearchError(Exception):
    """The design is wrong: an unknown name, a range that cannot be searched, too few items."""

    exit_code: int = 2


class SearchFailure(Exception):
    """The design was right, and the search failed nevertheless."""

    exit_code: int = 1
