"""Free-form answers, Japanese and English: finding the figure, reading it, and comparing it.

``cues`` finds where a reply gives its answer, ``numbers`` reads amounts, ``compare`` says by which
rule two amounts agree, ``grade`` puts them together for the ``process_results`` of a task.
"""
