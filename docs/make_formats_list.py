"""Write docs/reference/formats-list.md from the tables of readers and exporters.

uv run python docs/make_formats_list.py
"""

from pathlib import Path

from bigimg.faces.formats import formats_page

if __name__ == "__main__":
    page = Path(__file__).parent / "reference" / "formats-list.md"
    page.write_text(formats_page(), encoding="utf-8")
