"""The answer before anything starts: do the parents fit together, and does the machine suffice?"""
