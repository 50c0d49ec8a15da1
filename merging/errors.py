"""What can go wrong in a merge, each as one plain sentence: what, where, what to do."""


class MergingError(Exception):
    """Base of the errors of this package; `exit_code` is what the terminal exits with."""

    exit_code: int = 1


class RecipeError(MergingError):
    """The recipe is wrong: an unknown name, a value out of range, a missing part."""

    exit_code = 2


class ModelError(MergingError):
    """A parent is wrong: folder, shard, header, values, or parents that do not fit together."""

    exit_code = 2


class MergeFailure(MergingError):
    """Everything asked for was right, and it failed nevertheless: full disk, no permission."""

    exit_code = 1


class HubError(MergingError):
    """A model could not be had from the Hugging Face Hub.

    Args:
        text: the sentence for the user.
        exit_code: 2 when the id is wrong or needs a login, 1 when the Hub is out of reach.
    """

    def __init__(self, text: str, *, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code
