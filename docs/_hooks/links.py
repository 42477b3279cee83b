"""Links that leave `docs/` work where the repository is read; on the site nothing lies behind them. Those to a module
that has an API page lead there, and the others become plain text."""

import posixpath
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """The page's text with such links replaced. What leads nowhere in the repository either stays, and is mkdocs's to
    refuse."""
    folder = posixpath.dirname(page.file.src_uri)

    def replaced(link: re.Match[str]) -> str:
        text, target = link[1], link[2].partition("#")[0]
        if not target or "://" in target or target.startswith("mailto:"):
            return link[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        if files.get_file_from_path(path) and not files.get_file_from_path(path).inclusion.is_excluded():
            return link[0]
        if not Path(config["docs_dir"], path).exists():
            return link[0]
        api = re.fullmatch(r"\.\./bench/(\w+)(?:/checks/__init__)?\.py", path)
        if api and files.get_file_from_path(f"api/{api[1]}.md"):
            return f"[{text}]({posixpath.relpath(f'api/{api[1]}.md', folder or '.')})"
        return text

    return _LINK.sub(replaced, markdown)
