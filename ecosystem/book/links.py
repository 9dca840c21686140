"""Checks that each link and picture of the pages below a folder leads to a file and a heading there: links.py FOLDER"""
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.ids = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" or tag == "a" and name == "name":
                self.ids.add(value)
            elif (tag, name) in {("a", "href"), ("img", "src"), ("script", "src"), ("link", "href")} and value:
                self.links.append(value)


home = Path(sys.argv[1]).resolve()
# print.html has all pages once more, and 404.html has the links of the start page.
pages = {path: Page(path.read_text()) for path in home.rglob("*.html") if path.name not in {"print.html", "404.html", "toc.html"}}
wrong = []
for path, page in pages.items():
    for link in page.links:
        to = urlsplit(link)
        if to.scheme or to.netloc:
            continue
        target = (path.parent / unquote(to.path)).resolve() if to.path else path
        if not target.is_relative_to(home) or not target.exists():
            wrong.append(f"{path.relative_to(home)}: no file for {link}")
        elif to.fragment and target in pages and unquote(to.fragment) not in pages[target].ids:
            wrong.append(f"{path.relative_to(home)}: no heading for {link}")
print("\n".join(sorted(set(wrong))) or f"{len(pages)} pages, all links lead somewhere")
sys.exit(bool(wrong) or not pages)
