"""Words that other programs use in a search space, and what a recipe has in their place."""

_LOG_FLOAT, _LOG_INT = "type: float with log: true", "type: int with log: true"
_FLAG, _ALONE = "type: categorical with choices: [true, false]", "the value alone, as in width: 64"

TYPES = {
    **dict.fromkeys(("uniform", "float_uniform", "real", "double"), "type: float"),
    **dict.fromkeys(("loguniform", "log_uniform", "log-uniform", "reciprocal"), _LOG_FLOAT),
    **dict.fromkeys(("float_log_uniform", "log", "log_float"), _LOG_FLOAT),
    **dict.fromkeys(("quniform", "q_uniform", "discrete_uniform"), "type: float with a step"),
    **dict.fromkeys(("int_uniform", "integer", "randint", "uniform_int"), "type: int"),
    **dict.fromkeys(("int_loguniform", "int_log_uniform", "log_int", "lograndint"), _LOG_INT),
    **dict.fromkeys(("qrandint", "q_randint", "int_quniform"), "type: int with a step"),
    **dict.fromkeys(("choice", "choices", "enum", "cat"), "type: categorical with choices"),
    **dict.fromkeys(("ordinal", "grid", "list"), "values: [...] without a type"),
    **dict.fromkeys(("bool", "boolean"), _FLAG),
    **dict.fromkeys(("constant", "const", "fixed"), _ALONE),
}
"""Types of a parameter."""

KEYS = {
    **dict.fromkeys(("min", "lower", "start"), "low"),
    **dict.fromkeys(("max", "upper", "stop"), "high"),
    **dict.fromkeys(("q", "interval"), "step"),
    **dict.fromkeys(("options", "categories", "items"), "choices"),
}
"""Keys of a parameter."""
