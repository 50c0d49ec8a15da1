"""What a merge is: the recipe, its schedules and slices, and what is wrong with one."""
