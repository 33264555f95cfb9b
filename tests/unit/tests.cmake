# One line for each module with a unit test; sorted.
