"""Reports as a browser reads them: their pages written, and taken apart."""

from html.parser import HTMLParser

from frod.reporting.page import contents, write


class Reader(HTMLParser):
    """Collects tags in order, checks that they nest, and keeps links, ids and the text."""

    VOID = ("meta", "link", "br")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.ids, self.words, self.scripts = [], set(), [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        self.ids += [value for name, value in attrs if name == "id"]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    assert not reader.open
    return reader


def words(html):
    """The text that a reader sees."""
    return "".join(read(html).words)


def page(report, folder):
    """index.html of the report written to a folder."""
    write(contents(report), folder)
    return (folder / "index.html").read_text()
