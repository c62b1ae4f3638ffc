"""`aetui selftest`: what the program promises, tried out on a device of this machine.

One module for each kind of check. A check is a function of a `Place` that yields results with figures.
"""
