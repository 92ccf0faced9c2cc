"""Distributions with one mistake each; what plastic check says is in broken_messages.txt."""

from tests.plugins.packages import build_wheel, rule_source

# Changes to a good rule, and to its entry point;
MISTAKES = {
    "import error": {"source": "import a_package_that_is_not_there"},
    "syntax error": {"source": "class Mine("},
    "exit on import": {"source": "raise SystemExit(3)"},
    "entry point to nothing": {"cls": "Other"},
    "no rule": {"source": "Mine = 3"},
    "wrong hook argument": {"replace": ("(self, s)", "(self, signals)")},
    "misspelt hook": {"replace": ("plastic_local_update", "plastic_local_updat")},
    "hook without its mark": {"replace": ("@hookimpl", "")},
    "extra field": {"more": " modifes='forward',"},
    "bad theta bounds": {"replace": ("Theta(default=1e-4)", "Theta(default=2, max=1)")},
    "wrong shape": {"body": "return outer(s.pre, s.post)"},
    "modifies the weight": {
        "replace": ('"pre"}', '"pre", "weight"}'),
        "body": "s.weight.add_(1); return outer(s.post, s.pre)",
    },
    "undeclared signal": {"body": "return outer(s.post, s.source)"},
    "wrong API version": {"more": " api=2,"},
    "other name": {"named": "yours"},
    "name clash": {"named": "oja", "entry": "oja"},
    "group misspelt": {"group": "plastic.rule"},
}


def package_of(mistake, number=0):
    """Return the names of the distribution, the module and the rule of one mistake."""
    name = MISTAKES[mistake].get("entry", f"mine-{number}")
    return f"plastic-broken-{number}", f"broken_{number}", name


def broken_wheel(folder, mistake, number=0):
    """Write the wheel of one mistake and return its path."""
    change = MISTAKES[mistake]
    distribution, module, name = package_of(mistake, number)
    parts = {key: change[key] for key in ("more", "body") if key in change}
    cls = change.get("cls", "Mine")
    source = change.get("source") or rule_source(change.get("named", name), cls, **parts)
    source = source.replace(*change.get("replace", ("", "")))
    points = {change.get("group", "plastic.rules"): {name: f"{module}:Mine"}}
    return build_wheel(folder, distribution, {module: source}, points)
