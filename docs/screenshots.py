"""Pictures of reports for the documentation, from runs that are already there.

    spectralbias run --output sphere
    spectralbias run image china.jpg --output image
    spectralbias run digits --output digits
    python docs/screenshots.py sphere image digits

Needs Chromium, its driver, and `pip install selenium`. Writes docs/images/report-<name>-<light|dark>.png.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 1400, 2100
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking")


def main(directories):
    options = webdriver.ChromeOptions()
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, Service("/usr/bin/chromedriver"))
        for directory in map(Path, directories):
            for scheme in ("light", "dark"):
                feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
                driver.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
                size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                driver.get((directory / "report.html").resolve().as_uri())
                driver.implicitly_wait(10)
                driver.find_element("css selector", "svg.main-svg")
                driver.execute_async_script("setTimeout(arguments[0], 1500)")
                picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
                path = IMAGES / f"report-{directory.name}-{scheme}.png"
                picture.quantize(128).save(path, optimize=True)
                print(path)
        driver.quit()


if __name__ == "__main__":
    main(sys.argv[1:])
