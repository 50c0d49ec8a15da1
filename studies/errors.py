"""What can go wrong in a study, each as one plain sentence: what, where, what to do."""


class StudyError(Exception):
    """The design is wrong: an unknown name, a value out of range, models that do not fit."""

    exit_code: int = 2


class StudyFailure(Exception):
    """The design was right, and the study failed nevertheless."""

    exit_code: int = 1
