"""Bounds of arguments: what leads out is refused by its text, and what is accepted leads nowhere else."""

from __future__ import annotations

import os
import urllib.parse
import urllib.request
from pathlib import Path

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.kernel.errors import BadArguments, BadContract
from holdfast.kernel.model import Bound
from holdfast.tools import Call, Fx, Registry, bounds, hosts, inside, tool

API = hosts("api.example.com", "10.0.0.5")
ODD = hosts("api.example.com", schemes=("https", "http"), ports=(8443, 80))

CLIMBS = {
    "empty": "",
    "a way up": "..",
    "a way up first": "../etc/passwd",
    "a way up inside": "a/../../etc/passwd",
    "a way up that comes back": "a/../b",
    "a way up last": "a/..",
    "absolute": "/etc/passwd",
    "doubly absolute": "//etc/passwd",
    "stays in place": "./a",
    "stays in place inside": "a/./b",
    "three dots": ".../a",
    "dots and blanks": ".. /a",
    "blank before dots": " ../a",
    "empty segment": "a//b",
    "a slash at the end": "a/",
    "home": "~/.ssh/id_rsa",
    "another's home": "~root/.profile",
    "backslash": "..\\..\\etc",
    "backslash inside": "a\\..\\..\\b",
    "drive": "C:/Windows",
    "drive without a slash": "c:x",
    "NUL": "a\x00.txt",
    "newline": "a\n../b",
    "tab": "a\tb",
    "escape": "a\x1b[2Kb",
    "delete": "a\x7fb",
    "C1 control": "a\x85b",
    "percent-encoded dots": "%2e%2e/etc",
    "percent-encoded slash": "..%2fetc",
    "doubly encoded": "%252e%252e/etc",
    "percent-encoded in capitals": "%2E%2E%2Fetc",
    "overlong UTF-8, encoded": "%c0%ae%c0%ae/etc",
    "percent u": "%u002e%u002e/etc",
    "fullwidth dots": "\uff0e\uff0e/etc",
    "fullwidth slash": "a\uff0f..\uff0fb",
    "fullwidth backslash": "a\uff3cb",
    "division slash": "..\u2215etc",
    "fraction slash": "..\u2044etc",
    "box drawing slash": "..\u2571etc",
    "big solidus": "..\u29f8etc",
    "set minus": "..\u2216etc",
    "one dot leader": "\u2024\u2024/etc",
    "two dot leader": "\u2025/etc",
    "ellipsis": "\u2026/etc",
    "small full stop": "\ufe52\ufe52/etc",
    "lisu dots": "\ua4f8\ua4f8/etc",
    "syriac dots": "\u0701\u0701/etc",
    "right-to-left override": "a\u202etxt.exe",
    "left-to-right isolate": "a\u2066b",
    "zero width space": ".\u200b./etc",
    "zero width joiner": ".\u200d./etc",
    "word joiner": ".\u2060./etc",
    "byte order mark": "\ufeff../etc",
    "soft hyphen": ".\u00ad./etc",
    "combining grapheme joiner": ".\u034f./etc",
    "variation selector": "a\ufe0fb",
    "tag characters": "a\U000e0041b",
    "no-break space": "a\u00a0b",
    "ideographic space": "a\u3000b",
    "line separator": "a\u2028b",
    "hangul filler": "a\u3164b",
    "braille blank": "a\u2800b",
    "private use": "a\ue000b",
    "not assigned": "a\u0378b",
    "decomposed accent": "cafe\u0301.txt",
    "ligature": "\ufb01le.txt",
    "superscript": "a\u00b2",
    "a full stop at the end": "secret.",
    "a blank at the end": "secret ",
    "a blank at a segment's end": "a /b",
    "too long a segment": "a" * 256,
    "too long": "/".join(["abcdefg"] * 600),
}  # fmt: skip

STAYS = ("a", "a/b.txt", ".gitignore", "a/.hidden/b", "src/main.py", "a b/c d.txt", "a..b", "..a", "100%", "a%zz",
         "café.txt", "文書/報告.txt", "x" * 255, "a~", "a~/b", "-rf", "ab:c", "mañana.md", "Ελλάδα")  # fmt: skip

ELSEWHERE = {
    "empty": "",
    "no scheme": "api.example.com/a",
    "no scheme, slashes": "//api.example.com/a",
    "a scheme that is not listed": "http://api.example.com/",
    "file": "file:///etc/passwd",
    "javascript": "javascript:alert(1)//api.example.com",
    "data": "data:text/plain,https://api.example.com/",
    "scheme in capitals": "HTTPS://api.example.com/",
    "one slash": "https:/api.example.com/",
    "no slash": "https:api.example.com",
    "three slashes": "https:///api.example.com/",
    "user": "https://user@api.example.com/",
    "user and password": "https://user:pass@api.example.com/",
    "a listed host as user": "https://api.example.com@evil.com/",
    "a listed host as user and password": "https://api.example.com:443@evil.com/",
    "empty user": "https://@api.example.com/",
    "two users": "https://a@b@api.example.com/",
    "encoded at sign": "https://api.example.com%40evil.com/",
    "another host": "https://evil.com/",
    "a listed host as prefix": "https://api.example.com.evil.com/",
    "a listed host as suffix": "https://evil-api.example.com/",
    "a listed host's subdomain": "https://a.api.example.com/",
    "a listed host's parent": "https://example.com/",
    "a listed host in the path": "https://evil.com/api.example.com",
    "a listed host in the query": "https://evil.com/?https://api.example.com/",
    "a listed host in the fragment": "https://evil.com/#@api.example.com",
    "a fragment": "https://api.example.com/#a",
    "a fragment for a path": "https://api.example.com#@evil.com/",
    "a fragment with another host": "https://api.example.com#.evil.com/",
    "a query for a path": "https://api.example.com?@evil.com/",
    "backslash before an at sign": "https://api.example.com\\@evil.com/",
    "backslash for a slash": "https://api.example.com\\.evil.com/",
    "backslashes for slashes": "https:\\\\api.example.com/",
    "backslash in the path": "https://api.example.com/a\\b",
    "semicolon": "https://api.example.com;.evil.com/",
    "comma": "https://api.example.com,evil.com/",
    "a full stop at the end": "https://api.example.com./",
    "an empty label": "https://api..example.com/",
    "capitals in the host": "https://API.example.com/",
    "fullwidth letters": "https://\uff41pi.example.com/",
    "cyrillic letter": "https://\u0430pi.example.com/",
    "ideographic full stop": "https://api\u3002example.com/",
    "fullwidth full stop": "https://api\uff0eexample.com/",
    "circled letters": "https://\u24d0pi.example.com/",
    "sharp s": "https://api.example.com\u00df/",
    "punycode": "https://xn--pi-6kc.example.com/",
    "soft hyphen": "https://api\u00ad.example.com/",
    "zero width": "https://api.exam\u200bple.com/",
    "right-to-left override": "https://\u202eapi.example.com/",
    "newline": "https://api.example.com/\n",
    "newline in the host": "https://api.exa\nmple.com/",
    "carriage return and header": "https://api.example.com/a\r\nHost: evil.com",
    "tab": "https://api.\texample.com/",
    "tab before the host": "https://\tevil.com/",
    "blank before": " https://api.example.com/",
    "blank after": "https://api.example.com/ ",
    "blank in the host": "https://api.example.com evil.com/",
    "NUL": "https://api.example.com\x00.evil.com/",
    "encoded NUL": "https://api.example.com%00.evil.com/",
    "encoded host": "https://%61pi.example.com/",
    "encoded slash in the host": "https://api.example.com%2f.evil.com/",
    "another port": "https://api.example.com:8443/",
    "port 0": "https://api.example.com:0/",
    "port with a zero before": "https://api.example.com:0443/",
    "port too large": "https://api.example.com:65536/",
    "port that wraps": "https://api.example.com:65979/",
    "port with a sign": "https://api.example.com:+443/",
    "empty port": "https://api.example.com:/",
    "two ports": "https://api.example.com:443:80/",
    "port in other digits": "https://api.example.com:\u0664\u0664\u0663/",
    "IPv6": "https://[::1]/",
    "IPv6 with IPv4 in it": "https://[::ffff:10.0.0.5]/",
    "IPv6 zone": "https://[fe80::1%25eth0]/",
    "brackets": "https://[api.example.com]/",
    "decimal address": "https://167772165/",
    "hexadecimal address": "https://0x0a000005/",
    "octal address": "https://012.0.0.5/",
    "mixed address": "https://0xa.0.0.5/",
    "short address": "https://10.5/",
    "hexadecimal and short": "https://0x7f.1/",
    "padded address": "https://010.000.000.005/",
    "another address": "https://127.0.0.1/",
    "an address with a full stop": "https://10.0.0.5./",
    "a percent sign that encodes nothing": "https://api.example.com/%zz",
    "a quote": 'https://api.example.com/"',
    "angle brackets": "https://api.example.com/<a>",
    "braces": "https://api.example.com/{a}",
    "a pipe": "https://api.example.com/a|b",
    "too long": "https://api.example.com/" + "a" * 9_000,
}  # fmt: skip

THERE = (
    "https://api.example.com",
    "https://api.example.com/",
    "https://api.example.com:443/a",
    "https://api.example.com/v1/invoices/in_7?limit=3&after=a%20b",
    "https://api.example.com/@someone/a:b;c,d=1",
    "https://10.0.0.5/",
    "https://api.example.com/?next=https://evil.com/",
)


@pytest.mark.req("2.2b", mutant="climbing-path-passes")
@pytest.mark.parametrize("path", CLIMBS.values(), ids=CLIMBS)
def test_path_that_leads_out_or_is_unclear_is_refused_in_words(path: str) -> None:
    """Each way out that is known to us has a reason, and none of them passes."""
    assert bounds.path_problem(path)


@pytest.mark.parametrize("path", STAYS)
def test_plain_path_is_accepted(path: str) -> None:
    """Names in any alphabet, hidden files, blanks and stray percent signs are plain paths."""
    assert bounds.path_problem(path) == ""


@pytest.mark.req("2.2b", mutant="url-userinfo-passes")
@pytest.mark.parametrize("url", ELSEWHERE.values(), ids=ELSEWHERE)
def test_address_that_leads_elsewhere_or_is_unclear_is_refused_in_words(url: str) -> None:
    """Each trick that is known to us has a reason, and none of them passes."""
    assert bounds.url_problem(url, API)


@pytest.mark.parametrize("url", THERE)
def test_plain_address_of_a_listed_host_is_accepted(url: str) -> None:
    """Paths, queries, the scheme's own port and listed addresses pass."""
    assert bounds.url_problem(url, API) == ""


def test_ports_that_are_listed_replace_the_schemes_own() -> None:
    """With ports named, the scheme's own port has to be among them."""
    assert bounds.url_problem("https://api.example.com:8443/", ODD) == ""
    assert bounds.url_problem("http://api.example.com/", ODD) == ""
    assert "port" in bounds.url_problem("https://api.example.com/", ODD)


PIECES = st.sampled_from([
    "..", ".", "/", "//", "\\", "~", "a", "b.txt", " ", "%2e", "%", "\u2215", "\uff0e", "\u2024", "\u200b",
    "C:", "\x00", "é", "e\u0301", "link", "out", "sub", "loop",
])  # fmt: skip
PATHS = st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with links that stay and links that leave."""
    home = tmp_path_factory.mktemp("bound") / "home"
    (home / "sub").mkdir(parents=True)
    (home / "b.txt").write_text("mine")
    (home.parent / "secret").write_text("another's")
    (home / "link").symlink_to("sub")
    (home / "out").symlink_to("..")
    (home / "loop").symlink_to("loop")
    return home


@pytest.mark.req("2.2b", mutant="symlink-followed")
@settings(max_examples=600, deadline=None)
@given(path=PATHS)
@example(path="out/secret")
@example(path="link/a")
def test_accepted_path_resolves_inside_whatever_it_is_made_of(folder: Path, path: str) -> None:
    """Whatever passes both the text and the links leads below the folder, by the system's own resolution."""
    from holdfast.tools.folders import leads_out

    if leads_out({"path": inside(str(folder))}, {"path": path}):
        return
    resolved = os.path.realpath(folder / path)
    assert resolved.startswith(f"{os.path.realpath(folder)}/")
    # Whoever normalises first, or decodes first, gets to the same place.
    for other in (os.path.normpath(path), urllib.parse.unquote(path), path.replace("\\", "/")):
        assert os.path.realpath(folder / other).startswith(f"{os.path.realpath(folder)}/")


PARTS = st.sampled_from([
    "https", "http", ":", "//", "/", "\\", "@", "api.example.com", "evil.com", "10.0.0.5", "user", "?", "#", ":443",
    ":80", ".", "%2f", "%40", "\t", "\n", " ", "[", "]", "\u3002", "\uff0e", "0x7f.1", "xn--", "API",
])  # fmt: skip
URLS = st.one_of(
    st.lists(PARTS, max_size=9).map("".join),
    st.lists(PARTS, max_size=6).map(lambda parts: "https://api.example.com" + "".join(parts)),
    st.lists(PARTS, max_size=6).map(lambda parts: "https://" + "".join(parts) + "api.example.com/"),
)


@settings(max_examples=1_500, deadline=None)
@given(url=URLS)
@example(url="https://api.example.com/@evil.com")
@example(url="https://api.example.com:443/?a=b@evil.com")
def test_accepted_address_has_a_listed_host_for_every_parser(url: str) -> None:
    """What passes is at a listed host and port by httpx, by urllib, and by what urllib would connect to."""
    if bounds.url_problem(url, API):
        return
    by_httpx, by_urllib = httpx.URL(url), urllib.parse.urlsplit(url)
    assert by_httpx.host in API.hosts and by_urllib.hostname in API.hosts
    assert by_httpx.raw_host.decode() in API.hosts
    assert urllib.request.Request(url).host.partition(":")[0] in API.hosts
    assert (by_httpx.scheme, by_urllib.scheme) == ("https", "https")
    assert (by_httpx.port or 443, by_urllib.port or 443) == (443, 443)
    assert not by_httpx.userinfo and by_urllib.username is None


async def body(fx: Fx, *, path: str, url: str = "https://api.example.com/", more: list[str] | None = None) -> None:
    """Write a file."""


def bounded(**more: Bound) -> Registry:
    return Registry([tool(effect="read", resource="file:{path}", bounds={"path": inside("/srv/repo"), **more})(body)])


@pytest.mark.req("2.2b", mutant="climbing-path-passes")
def test_call_that_leads_out_is_refused_when_it_is_bound() -> None:
    """Nothing is recorded as allowed: the call itself is refused, with the argument, its bound and the reason."""
    registry = bounded()
    assert registry.bind(Call("body", {"path": "a/b"})).args["path"] == "a/b"
    with pytest.raises(BadArguments, match=r"argument path leads out of /srv/repo: it is absolute"):
        registry.bind(Call("body", {"path": "/etc/passwd"}))
    with pytest.raises(BadArguments, match="is a way up"):
        registry.bind(Call("body", {"path": "a/../../etc/passwd"}))


def test_every_member_of_a_list_is_judged_and_an_absent_argument_leads_nowhere() -> None:
    """One address among many that leads elsewhere refuses the call; null does not."""
    registry = bounded(more=API)
    registry.bind(Call("body", {"path": "a", "more": None}))
    registry.bind(Call("body", {"path": "a", "more": ["https://10.0.0.5/"]}))
    with pytest.raises(BadArguments, match=r"its host is evil\.com"):
        registry.bind(Call("body", {"path": "a", "more": ["https://10.0.0.5/", "https://evil.com/"]}))


@pytest.mark.req("2.2a", mutant="bounds-unchecked")
@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (Bound(), "either a folder or hosts"),
        (Bound(folder="/a", hosts=("a.com",)), "either a folder or hosts"),
        (inside("srv"), "no absolute path"),
        (inside("/srv/../etc"), "no absolute path"),
        (inside("/srv/"), "no absolute path"),
        (hosts("API.example.com"), "no host name"),
        (hosts("a.com."), "no host name"),
        (hosts("0x7f.1"), "no host name"),
        (hosts("127.1"), "no host name"),
        (hosts("a.0x7f"), "no host name"),
        (hosts("https://a.com"), "no host name"),
        (hosts("*.a.com"), "no host name"),
        (hosts("a.com", schemes=("HTTPS",)), "no scheme"),
        (hosts("a.com", schemes=("gopher",)), "name ports"),
        (hosts("a.com", schemes=()), "no scheme is allowed"),
        (hosts("a.com", ports=(0,)), "is no port"),
    ],
)
def test_bound_that_bounds_nothing_is_refused_when_the_tool_is_registered(bound: Bound, said: str) -> None:
    """A folder that moves, a host in another spelling or a bound of nothing is named, not guessed at."""
    with pytest.raises(BadContract, match=said):
        Registry([tool(effect="read", resource="x", bounds={"path": bound})(body)])


def test_bound_of_an_argument_that_does_not_exist_is_refused_with_the_nearest() -> None:
    """A misspelled name would bound nothing."""
    with pytest.raises(BadContract, match=r'there is no argument "pat" \(did you mean path\?\)'):
        Registry([tool(effect="read", resource="x", bounds={"pat": inside("/srv")})(body)])
