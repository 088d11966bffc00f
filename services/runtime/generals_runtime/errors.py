"""The root of the errors that a person can do something about."""


class OperatorError(Exception):
    """Its message says what is wrong and what to do; it is shown alone, without a stack trace."""
