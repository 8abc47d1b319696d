"""The dashboard as somebody with a browser uses it: headless Chromium, driven by selenium.

Only test_dashboard.py makes these. Knows the dashboard's pages and nothing of the control plane.
"""
import contextlib

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
           "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,1100")
PROGRAMS = "/usr/bin/chromium", "/usr/bin/chromedriver"
PATIENCE = 60  # seconds for a page, many times what it takes


class Browser:
    """One browser with an empty profile, at one dashboard.

    url: root of the dashboard; home: directory for the profile and for the pictures of the pages.
    """

    def __init__(self, url, home):
        self.url, self.home = url, home
        options = webdriver.ChromeOptions()
        options.binary_location = PROGRAMS[0]
        for option in (*OPTIONS, f"--user-data-dir={home / 'profile'}"):
            options.add_argument(option)
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(PROGRAMS[1]))

    def close(self):
        """End the browser."""
        self.driver.quit()

    def picture(self, name):
        """Keep what is on the screen as home/name.png."""
        self.driver.save_screenshot(str(self.home / f"{name}.png"))

    def log_in(self, user, password):
        """Fill the first page in; returns what the dashboard complains about (an empty list if it lets us in)."""
        self.driver.get(f"{self.url}/auth/login/")
        for field, text in (("id_username", user), ("id_password", password)):
            box = self.find(f"#{field}")
            box.clear()
            box.send_keys(text)
        before = self.find("html")
        self.find("#loginBtn").click()
        self.wait(lambda: _gone(before))
        return self.complaints()

    def open(self, path):
        """Go to a page of the project's dashboard; returns its complaints."""
        self.driver.get(f"{self.url}/project/{path}/")
        return self.complaints()

    def complaints(self):
        """The texts of all error messages on the page."""
        return [alert.text.replace("\n", " ") for alert in self.all(".alert-danger, .has-error .help-block")
                if alert.text.strip()]

    def launch(self, fields):
        """Fill in the form behind "Launch Instance" of the page of instances; the only network is chosen already.

        fields: {id of an input or a select without "id_": text}.
        """
        self.find("#databases__action_launch").click()
        self.wait(lambda: self.all(".modal #id_name"))
        self.fill(fields)

    def fill(self, fields):
        """Fill in the open form, turning to the tab where a field is."""
        for name, text in fields.items():
            box = self._reveal(f"id_{name}")
            if box.tag_name == "select":
                Select(box).select_by_visible_text(text)
            else:
                box.clear()
                box.send_keys(text)

    def send(self):
        """Press the button of the open form and wait for the page behind it."""
        form = self.find(".modal")
        self.find(".modal input[type=submit]").click()
        self.wait(lambda: _gone(form) or self.complaints())
        return self.complaints()

    def row(self, name):
        """The cells of the row of a table whose link has that name: {heading: text}, or None."""
        with contextlib.suppress(NoSuchElementException, StaleElementReferenceException):  # the table is written anew
            link = self.driver.find_element(By.XPATH, f"//table//tr//a[normalize-space()='{name}']")
            cells = link.find_elements(By.XPATH, "./ancestor::tr/td")
            headings = link.find_elements(By.XPATH, "./ancestor::table/thead//tr[last()]/th")
            return {heading.text.replace("\n", " "): cell.text for heading, cell in zip(headings, cells, strict=True)}
        return None

    def act(self, name, action):
        """Choose an action of a row (the end of its id) from its menu, and confirm it when asked to."""
        link = self.driver.find_element(By.XPATH, f"//table//tr//a[normalize-space()='{name}']")
        row = link.find_element(By.XPATH, "./ancestor::tr")
        row.find_element(By.CSS_SELECTOR, ".dropdown-toggle").click()
        row.find_element(By.CSS_SELECTOR, f"[id$=__action_{action}]").click()
        self.wait(lambda: self.all(".modal .modal-footer .btn-danger, .modal .modal-footer .btn-primary"))
        self.find(".modal .modal-footer .btn-danger, .modal .modal-footer .btn-primary").click()

    def follow(self, name):
        """Follow the link with that text; returns the complaints of the page."""
        before = self.find("html")
        self.driver.find_element(By.LINK_TEXT, name).click()
        self.wait(lambda: _gone(before))
        return self.complaints()

    def tab(self, name):
        """Turn to a tab of the page; returns its text."""
        [link] = [link for link in self.all(".nav-tabs a[data-toggle=tab]") if link.text.strip() == name]
        pane = link.get_attribute("data-target")
        link.click()
        return self.wait(lambda: self.find(pane).is_displayed() and self._loaded(pane))

    def text(self):
        """All words of the page."""
        return self.find("body").text

    def find(self, selector):
        """The first element of a CSS selector; fails when there is none."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        """All elements of a CSS selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, condition, seconds=PATIENCE):
        """The first true value of ``condition()``."""
        return WebDriverWait(self.driver, seconds, 0.2).until(lambda _: condition())

    def _loaded(self, pane):
        text = self.find(pane).text.strip()
        return text if "Loading" not in text else None

    def _reveal(self, field):
        box = self.find(f".modal #{field}")
        pane = box.find_element(By.XPATH, "./ancestor::fieldset[contains(@class, 'tab-pane')]")
        tab = self.find(f".modal a[data-toggle=tab][data-target='#{pane.get_attribute('id')}']")
        if "active" not in pane.get_attribute("class").split():
            tab.click()
        self.wait(box.is_displayed)
        return box


def _gone(element):
    try:
        return not element.is_enabled() or not element.is_displayed()
    except StaleElementReferenceException:
        return True
    except WebDriverException as error:  # the driver's word for the same when the page changes while it looks
        if "does not belong to the document" not in (error.msg or ""):
            raise
        return True
