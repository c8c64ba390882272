"""Keys in addresses do not reach the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infbrush_wsi.cli.secrets import without_secrets

WORDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789+._-%", min_size=8, max_size=20)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://jane:pass@host/a.zarr", "at https://…@host/a.zarr"),
        ("'s3://key:secret@bucket/x' is", "'s3://…@bucket/x' is"),
        ("'https://h/a.zarr?sv=1&sig=abc' is", "'https://h/a.zarr?…' is"),
        ("https://u:p@h:8443/a?b@c://d", "https://…@h:8443/a?…"),
        ("tcp://10.0.0.1:8786", "tcp://10.0.0.1:8786"),
        ("/data/a?b.tif and c@d.png: what?", "/data/a?b.tif and c@d.png: what?"),
    ],
)
def test_what_is_cut_and_what_stays(text, shown):
    assert without_secrets(text) == shown
    assert without_secrets(shown) == shown


@given(WORDS, WORDS, WORDS)
def test_no_password_and_no_signature_is_left(user, password, signature):
    shown = without_secrets(f"cannot read 'https://{user}:{password}@host.example/a/b.zarr?sig={signature}': timed out")
    assert shown == "cannot read 'https://…@host.example/a/b.zarr?…': timed out"


def test_an_error_of_a_command_has_none(cli):
    result = cli("info", "https://jane:hunter22@127.0.0.1:9/a.zarr?token=abcdef")
    assert result.exit_code == 1
    assert "127.0.0.1:9/a.zarr" in result.output
    assert "hunter22" not in result.output
    assert "abcdef" not in result.output
