"""A page as Qt's Chromium shows it: `python qt_screenshot.py PAGE.html PICTURE.png WIDTH HEIGHT`.

For machines without a browser of their own: PySide6 brings one, as a Python package.
"""

import os
import sys

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = "--disable-gpu --no-sandbox --hide-scrollbars"
os.environ["QT_QUICK_BACKEND"] = "software"

from PySide6.QtCore import QTimer, QUrl
from PySide6.QtWebEngineWidgets import QWebEngineView
from PySide6.QtWidgets import QApplication


def main(page: str, picture: str, width: str, height: str) -> int:
    application = QApplication([sys.argv[0]])
    view = QWebEngineView()
    view.resize(int(width), int(height))

    def save() -> None:
        application.exit(0 if view.grab().save(picture) else 1)

    def loaded(whole: bool) -> None:
        if whole:
            QTimer.singleShot(1000, save)  # until it is painted
        else:
            application.exit(1)

    view.loadFinished.connect(loaded)
    view.load(QUrl.fromLocalFile(os.path.abspath(page)))
    view.show()
    return application.exec()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
