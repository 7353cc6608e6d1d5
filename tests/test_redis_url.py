"""URLs of Redis and Valkey: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticker import configfile
from ticker.config import redis_url
from ticker.config.redis_url import CLUSTER, ONE, OPTIONS, SENTINEL, Servers, parse
from ticker.errors import ConfigError

PASSWORD = "hunter-2-hunter"
CONFIG = """\
bus:
  url: "{}"
feeds: {{f: {{kind: simulate, symbols: {{A: 1}}}}}}
boards: {{b: {{feeds: [f]}}}}
"""

GOOD = {
    "redis://h": Servers(ONE, (("h", 6379),)),
    "REDIS://H:1/": Servers(ONE, (("h", 1),)),
    "valkey://h:7/3": Servers(ONE, (("h", 7),), db=3),
    "redis://h?db=4": Servers(ONE, (("h", 6379),), db=4),
    "redis://[::1]:7": Servers(ONE, (("::1", 7),)),
    "rediss://u:p@h": Servers(ONE, (("h", 6379),), secure=True, username="u", password="p"),
    "valkeys://:p%40%2F%3A@h": Servers(ONE, (("h", 6379),), secure=True, password="p@/:"),
    "redis://u%3A:@h": Servers(ONE, (("h", 6379),), username="u:"),
    "rediss://h?ssl_cert_reqs=none": Servers(
        ONE, (("h", 6379),), secure=True, options={"ssl_cert_reqs": "none"}
    ),
    "unix:///run/r%20s.sock?db=2": Servers(ONE, path="/run/r s.sock", db=2),
    "unix://u:p@/run/r.sock": Servers(ONE, path="/run/r.sock", username="u", password="p"),
    "redis+sentinel://a,b:7/boards": Servers(SENTINEL, (("a", 26379), ("b", 7)), service="boards"),
    "rediss+sentinel://u:p@a/boards/2?sentinel_password=q": Servers(
        SENTINEL,
        (("a", 26379),),
        secure=True,
        username="u",
        password="p",
        db=2,
        service="boards",
        options={"sentinel_password": "q"},
    ),
    "valkey+cluster://a:1,b:2": Servers(CLUSTER, (("a", 1), ("b", 2))),
    "redis+cluster://a/0": Servers(CLUSTER, (("a", 6379),)),
}

SCHEMES = "expected a URL that begins with redis, valkey, rediss, valkeys or unix and ://"
PORT = "expected a port from 1 to 65535, or none; in a password / is written as %2F"
HOST = "expected a host behind ://"
BAD = {
    "": SCHEMES,
    "localhost:6379": SCHEMES,
    f"http://:{PASSWORD}@h": SCHEMES,
    "redis": SCHEMES,
    "redis+other://h": SCHEMES,
    "unix+cluster:///x": SCHEMES,
    "redis:h": HOST,
    "redis://": HOST,
    "redis:///3": HOST,
    f"redis://:{PASSWORD}@:6379": HOST,
    "redis+cluster://a,,b": HOST,
    "redis://h:0": PORT,
    "redis://h:65536": PORT,
    "redis://h:x": PORT,
    f"redis://:{PASSWORD}/{PASSWORD}@h": PORT,
    f"redis://:[{PASSWORD}@h": PORT,
    f"redis://:{PASSWORD}#{PASSWORD}@h": "expected no # in it; in a password it is written as %23",
    f"redis://:{PASSWORD}?{PASSWORD}@h": "in a password ? is written as %3F",
    f"redis://{PASSWORD}@h": "expected NAME:PASSWORD or :PASSWORD before the @",
    "redis://a,b": "expected one host; several go with redis+sentinel or redis+cluster",
    "redis://h/x": "expected the number of a database behind the host, or nothing",
    "redis://h/1/2": "expected the number of a database behind the host, or nothing",
    "redis://h?db=-1": "expected the number of a database behind the host, or nothing",
    "redis+cluster://h/1": "expected nothing behind the hosts: a cluster has no databases",
    "redis+sentinel://h": "expected the name that Sentinels have for the service",
    "redis+sentinel://h/0/x": "expected the number of a database",
    "unix://run/r.sock": "expected three slashes before the path of a socket",
    "unix://": "expected the path of a socket",
    f"redis://h?pass={PASSWORD}": f"expected nothing behind the ? but {', '.join(OPTIONS)}",
    "redis://h?ssl_cert_reqs=none": "ssl_cert_reqs is for URLs that begin with rediss or valkeys",
    "rediss://h?ssl_cert_reqs=no": "expected ssl_cert_reqs to be required or optional or none",
    "rediss://h?ssl_ca_certs=/none": "expected ssl_ca_certs to be the whole path of a file",
    "rediss://h?ssl_ca_certs=ca.pem": "expected ssl_ca_certs to be the whole path of a file",
}


@pytest.mark.parametrize("url", GOOD)
def test_a_url_names_servers(url: str) -> None:
    """Where they are, and who asks."""
    assert parse(url) == GOOD[url]


def test_a_file_is_named_as_a_whole(tmp_path: Path) -> None:
    """Wherever the process runs."""
    (tmp_path / "ca.pem").touch()
    found = parse(f"rediss://h?ssl_ca_certs={tmp_path}/ca.pem")
    assert found.options == {"ssl_ca_certs": f"{tmp_path}/ca.pem"}


@pytest.mark.parametrize("url", BAD)
def test_what_is_wrong_with_a_url_is_said_at_its_place(url: str) -> None:
    """With what was expected; of what stands there nothing is shown."""
    with pytest.raises(ValueError, match=r"expected|is for") as caught:
        redis_url.parse(url)
    assert BAD[url] in str(caught.value)
    with pytest.raises(ConfigError) as shown:
        configfile.parse(CONFIG.format(url), "ticker.yaml", base=Path(), env={})
    (problem,) = shown.value.problems
    assert str(problem).startswith("ticker.yaml:2:8: bus.url: ")
    assert "hunter" not in str(problem)
    assert "expected" in str(problem) or "is for" in str(problem)


def test_the_passwords_of_a_url_are_known_to_the_log() -> None:
    """As they are, and as they stand there; names and hosts may be shown."""
    text = CONFIG.format("redis+sentinel://us:p%40ss@h/boards?sentinel_password=other%2Fword")
    loaded = configfile.parse(text, "ticker.yaml", base=Path(), env={})
    assert loaded.secrets == {"p%40ss", "p@ss", "other/word"}
