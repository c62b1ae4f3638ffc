"""Cases that measure the diagnosis of aetui, and its score; a part of the project's checks, not of the package."""

from aetui.openmp import bound_spin

# Before anything here loads torch: the score shares its machine with others.
bound_spin()
