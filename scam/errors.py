# SPDX-License-Identifier: Apache-2.0
"""The one exception that means "your input", never "our bug"."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that names the argument or file, the value found and what was
    expected. Commands print it and leave with status 2; in Python it is an ordinary ValueError.
    """
