"""``python -m infbrush_wsi`` is the command `infbrush`, where its script is not on the path."""

from infbrush_wsi.cli import app

if __name__ == "__main__":
    app(prog_name="infbrush")
