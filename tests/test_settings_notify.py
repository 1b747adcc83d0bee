"""The tables [notify.AUDIENCE]: what they mean, which wins, and what is told when one is wrong."""

import pytest

from mobius_tui.audiences import AUDIENCES, REPEAT_MINUTES
from mobius_tui.errors import BadInput
from mobius_tui.settings import load_settings, secret_variables


def load(tmp_path, text, env=None, **how):
    (tmp_path / "mobius.toml").write_text(text, encoding="utf-8")
    return load_settings(tmp_path, {"environment": env}, {}, **how)


def test_none_by_default(tmp_path):
    assert load_settings(tmp_path, {}, {}).routes == {}
    assert load(tmp_path, "threshold = 9\n").routes == {}


def test_default_serves_every_audience_and_an_own_table_wins(tmp_path):
    routes = load(tmp_path, '[notify.default]\nurl = "https://h/x"\nat_least = "warning"\n'
                            '[notify.sre]\ncommand = "page --now"\nrepeat_minutes = 5\n').routes  # fmt: skip
    assert tuple(routes) == AUDIENCES
    assert (routes["qa"].url, routes["qa"].at_least, routes["qa"].name) == ("https://h/x", "warning", "default")
    assert (routes["sre"].command, routes["sre"].url, routes["sre"].name) == ("page --now", "", "sre")
    assert (routes["sre"].at_least, routes["sre"].repeat_minutes) == ("warning", 5.0)  # the rest comes from default
    assert routes["qa"].repeat_minutes == REPEAT_MINUTES
    assert routes["sre"].source == "mobius.toml [notify.sre]"


def test_an_audience_alone(tmp_path):
    assert tuple(load(tmp_path, '[notify.qa]\ncommand = "true"\n').routes) == ("qa",)


def test_an_own_table_without_target_narrows_the_default(tmp_path):
    routes = load(tmp_path, '[notify.default]\ncommand = "true"\n[notify.qa]\nat_least = "critical"\n').routes
    assert (routes["qa"].command, routes["qa"].at_least) == ("true", "critical")
    assert not routes["qa"].takes("warning")
    assert routes["sre"].takes("info")


def test_environment_wins_key_by_key_and_its_target_takes_the_place_of_both(tmp_path):
    text = (
        '[notify.sre]\nurl = "https://h/x"\nat_least = "warning"\n'
        '[env.production.notify.sre]\ncommand = "page"\n[env.staging.notify.sre]\nat_least = "critical"\n'
        '[env.development.notify.sre]\nurl = ""\n'
    )
    production = load(tmp_path, text, "production").routes["sre"]
    assert (production.command, production.url, production.at_least) == ("page", "", "warning")
    assert production.source == "mobius.toml [env.production.notify.sre]"
    staging = load(tmp_path, text, "staging").routes["sre"]
    assert (staging.url, staging.at_least) == ("https://h/x", "critical")
    assert load(tmp_path, text).routes == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('notify = "x"', "must hold tables"),
        ('[notify]\nsre = "x"', "must be a table"),
        ('[notify.src]\nurl = "https://h/x"', "did you mean sre"),
        ('[notify.sre]\nurll = "https://h/x"', "did you mean url"),
        ('[notify.sre]\nat_least = "critic"', "did you mean critical"),
        ("[notify.sre]\nat_least = 3", "at_least must be text"),
        ("[notify.sre]\nrepeat_minutes = 0", "from 1 to 1440"),
        ("[notify.sre]\nrepeat_minutes = nan", "from 1 to 1440"),
        ("[notify.sre]\nrepeat_minutes = true", "from 1 to 1440"),
        ('[notify.sre]\ncommand = "x"\nurl = "https://h/x"', "both given"),
        ('[env.staging.notify.src]\nurl = "https://h/x"', "did you mean sre"),  # though it does not hold here
        ("[env.staging]\nnotify = 3", "must hold tables"),
    ],
)
def test_what_is_wrong_is_told_with_the_nearest(tmp_path, text, said):
    with pytest.raises(BadInput) as error:
        load(tmp_path, text + "\n")
    assert said in str(error.value)
    assert "notify" in str(error.value)
    lenient = load(tmp_path, text + '\n[notify.qa]\ncommand = "true"\n' if not text.startswith("notify") else text,
                   lenient=True)  # fmt: skip
    assert any(said in warning for warning in lenient.warnings)
    assert text.startswith("notify") or lenient.routes["qa"].command == "true"


@pytest.mark.parametrize(
    "url", ["hooks.example/T0K3N", "ftp://h/T0K3N", "http:///T0K3N", "http://h:99999/T0K3N", "http://h/T0K3N x",
            "http://h/T0K3N\\u0007", "http://[h/T0K3N"],
)  # fmt: skip
def test_a_wrong_address_is_told_without_it(tmp_path, url):
    with pytest.raises(BadInput) as error:
        load(tmp_path, f'[notify.sre]\nurl = "{url}"\n')
    assert "T0K3N" not in str(error.value)
    assert "http://" in str(error.value)


def test_shown_without_secrets(tmp_path):
    routes = load(tmp_path, '[notify.sre]\nurl = "https://bob:pw@h.example:8443/services/T0K3N?k=T0K3N"\n'
                            '[notify.qa]\ncommand = "curl --token T0K3N"\n').routes  # fmt: skip
    assert routes["sre"].shown == "https://h.example:8443/..."
    assert "T0K3N" not in routes["qa"].shown


def test_secret_variables():
    assert {"INTERNAL_API_KEY", "MOBIUS_INTERNAL_API_KEY", "MOBIUS_DEAD_MAN_URL"} <= secret_variables()
    assert "MOBIUS_PORT" not in secret_variables()
